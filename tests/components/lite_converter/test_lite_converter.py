"""TensorFlow Lite models beside the SavedModel that they were made from."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.lite_converter.component import in_words, write_lite_models
from components.lite_converter.config import LiteConfig
from components.lite_converter.conversion import probabilities, probabilities_of_saved_model
from components.lite_converter.lite_results import LITE_FILE, LiteResult
from trainer.export.saved_model import export


@dataclasses.dataclass
class Split:
    """Images and labels, as far as they are asked for them."""

    images: np.ndarray
    labels: np.ndarray

    def batches(self, size):
        labels = self.labels[:, np.newaxis].astype(np.float32)
        return tf.data.Dataset.from_tensor_slices((self.images, labels)).batch(size)


@pytest.fixture(scope='module')
def bright(job, tmp_path_factory):
    """A model that tells bright images from dark ones, and images of both; the first is wrong."""
    image = keras.Input((32, 32, 3))
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    feature_map = keras.layers.Conv2D(4, 3, strides=4, use_bias=False)(scaled)
    pooled = keras.layers.GlobalAveragePooling2D()(feature_map)
    model = keras.Model(image, keras.layers.Dense(1)(pooled))
    kernel, (weights, bias) = np.full((3, 3, 3, 4), 1 / 27), (np.full((4, 1), 2.0), np.zeros(1))
    model.set_weights([kernel, weights, bias])
    folder = tmp_path_factory.mktemp('bright')
    export(model, job.transform, job.classes, folder)
    random = np.random.default_rng(0)
    labels = np.arange(40) % 2
    noise = random.integers(-30, 30, (40, 32, 32, 3))
    images = (70 + 120 * labels[:, None, None, None] + noise).astype(np.uint8)
    labels[0] = 1 - labels[0]
    return folder, Split(images, labels)


@pytest.fixture(scope='module')
def written(bright, tmp_path_factory):
    folder, split = bright
    target = tmp_path_factory.mktemp('lite')
    config = LiteConfig(representative_images=10, test_images=30)
    return write_lite_models(folder, split, split, config, 0.5, target), target


def test_both_formats_are_measured_on_the_same_images_as_the_saved_model(written):
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


def test_float16_answers_nearly_and_int8_roughly_as_the_saved_model(bright, written):
    folder, split = bright
    wanted = probabilities_of_saved_model(folder, split.images, batch=7)
    for name, error in ('float16', 2e-3), ('int8', 0.05):
        found = probabilities((written[1] / f'{name}.tflite').read_bytes(), split.images)
        assert found.shape == wanted.shape == (40, 1)
        np.testing.assert_allclose(found, wanted, atol=error)


def test_int8_computes_in_integers_between_floats(written):
    interpreter = tf.lite.Interpreter(model_path=str(written[1] / 'int8.tflite'))
    kinds = {np.dtype(each['dtype']).name for each in interpreter.get_tensor_details()}
    (taken,) = interpreter.get_input_details()
    assert taken['dtype'] is np.float32
    assert {each['dtype'] for each in interpreter.get_output_details()} == {np.float32}
    assert {'int8', 'int32'} <= kinds


def test_a_format_too_far_below_is_kept_and_not_pushed(bright, tmp_path, monkeypatch):
    folder, split = bright
    monkeypatch.setattr('components.lite_converter.conversion.convert', lambda *_: b'lite')
    half = np.where(np.arange(40) < 15, 0.0, split.labels)[:, np.newaxis]
    monkeypatch.setattr('components.lite_converter.conversion.probabilities', lambda *_: half)
    config = LiteConfig(formats=['int8'], max_drop=0.1)
    result = write_lite_models(folder, split, split, config, 0.5, tmp_path)
    assert result.pushed == ()
    assert (tmp_path / 'int8.tflite').read_bytes() == b'lite'
    assert in_words(result) == (
        'accuracy on 40 test images: int8 0.8000 (0.0 MB, too far below: not pushed), '
        'beside 0.9750 of the SavedModel'
    )


def test_an_answer_that_is_no_number_is_right_for_no_image(bright, tmp_path, monkeypatch):
    folder, split = bright
    monkeypatch.setattr('components.lite_converter.conversion.convert', lambda *_: b'lite')
    nothing = np.full((40, 1), np.nan, np.float32)
    monkeypatch.setattr('components.lite_converter.conversion.probabilities', lambda *_: nothing)
    config = LiteConfig(formats=['float16'])
    (model,) = write_lite_models(folder, split, split, config, 0.5, tmp_path).models
    assert (model.accuracy.value, model.agreement, model.within_bound) == (0, 0, False)
