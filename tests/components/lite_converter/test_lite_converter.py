"""Conversion to TensorFlow Lite, compared with the SavedModel."""

import types

import numpy as np
import pytest
import tensorflow as tf

from components.lite_converter import conversion
from components.lite_converter.component import write_lite_models
from components.lite_converter.config import LiteConfig
from components.lite_converter.lite_results import LITE_FILE, LiteResult


@pytest.fixture(scope='module')
def split():
    """Stub of ImageSplit with dark images of class 0 and bright ones of 1; one label is wrong."""
    labels = np.arange(40) % 2
    noise = np.random.default_rng(0).integers(-30, 30, (40, 32, 32, 3))
    images = (70 + 120 * labels[:, None, None, None] + noise).astype(np.uint8)
    labels[0] = 1
    column = labels[:, np.newaxis].astype(np.float32)
    dataset = tf.data.Dataset.from_tensor_slices((images, column))
    return types.SimpleNamespace(images=images, labels=labels, batches=dataset.batch)


@pytest.fixture(scope='module')
def model(make_saved_model, tmp_path_factory):
    return make_saved_model(tmp_path_factory.mktemp('bright') / 'model', slope=0.05)


@pytest.fixture(scope='module')
def written(model, split, tmp_path_factory):
    target = tmp_path_factory.mktemp('lite')
    config = LiteConfig(representative_images=10, test_images=30)
    splits = {'train': split, 'test': split}
    return write_lite_models(model, splits, config, 0.5, target), target


def test_evaluates_all_models_on_same_images(written):
    result, folder = written
    assert LiteResult.model_validate_json((folder / LITE_FILE).read_text()) == result
    assert result.images == 30
    assert result.saved_model.value == pytest.approx(29 / 30)
    assert result.saved_model.low < 29 / 30 < result.saved_model.high
    assert [model.format for model in result.models] == ['float16', 'int8']
    for model in result.models:
        assert model.accuracy == result.saved_model
        assert model.agreement == 1
        assert model.within_bound
        assert model.megabytes == (folder / model.file).stat().st_size / 1e6
    assert result.pushed == ('float16.tflite', 'int8.tflite')


@pytest.mark.parametrize(('name', 'error'), [('float16', 2e-3), ('int8', 0.05)])
def test_predictions_are_close_to_saved_model(model, split, written, name, error):
    wanted = conversion.probabilities_of_saved_model(model, split.images)
    lite = (written[1] / f'{name}.tflite').read_bytes()
    found = conversion.probabilities(lite, split.images)
    assert found.shape == wanted.shape == (40, 1)
    np.testing.assert_allclose(found, wanted, atol=error)


def test_int8_has_integer_tensors_and_float_inputs(written):
    interpreter = tf.lite.Interpreter(model_path=str(written[1] / 'int8.tflite'))
    kinds = {np.dtype(each['dtype']).name for each in interpreter.get_tensor_details()}
    (taken,) = interpreter.get_input_details()
    assert taken['dtype'] is np.float32
    assert {each['dtype'] for each in interpreter.get_output_details()} == {np.float32}
    assert 'int8' in kinds


@pytest.mark.parametrize(
    ('wrong', 'accuracy', 'agreement'), [(0.0, 0.8, 0.825), (np.nan, 0.625, 0.625)]
)
def test_inaccurate_model_is_written_but_not_pushed(
    model, split, tmp_path, monkeypatch, wrong, accuracy, agreement
):
    given = np.where(np.arange(40) < 15, wrong, split.labels)[:, np.newaxis]
    monkeypatch.setattr(conversion, 'convert', lambda *_: b'lite')
    monkeypatch.setattr(conversion, 'probabilities', lambda *_: given)
    config = LiteConfig(formats=['int8'], max_drop=0.1)

    result = write_lite_models(model, {'train': split, 'test': split}, config, 0.5, tmp_path)

    assert result.pushed == ()
    assert (tmp_path / 'int8.tflite').read_bytes() == b'lite'
    assert f'SavedModel 0.9750, int8 {accuracy:.4f} (not pushed)' in result.describe()
    assert result.models[0].agreement == agreement
