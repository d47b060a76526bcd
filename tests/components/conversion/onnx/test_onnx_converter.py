"""Conversion to ONNX, compared with the SavedModel in ONNX Runtime."""

import importlib.util
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

from common import features
from common.errors import USAGE, ConfigError
from components.conversion.onnx import conversion
from components.conversion.onnx.component import write_onnx_model
from components.conversion.onnx.config import ONNX_FILE, OnnxConfig
from components.conversion.results import ConversionResult
from pipeline.config.recipe import load_recipe
from pipeline.execution.recipe_checks import check_data


@pytest.fixture(scope='module')
def written(bright_model_folder, judged, tmp_path_factory):
    folder = tmp_path_factory.mktemp('onnx')
    return write_onnx_model(bright_model_folder, judged, OnnxConfig(), 0.5, folder), folder


def test_has_the_accuracy_of_the_saved_model(written):
    result, folder = written
    assert ConversionResult.model_validate_json((folder / ONNX_FILE).read_bytes()) == result
    (model,) = result.models
    assert (result.images, model.format, model.agreement) == (40, 'ONNX', 1)
    assert model.accuracy == result.saved_model
    assert model.megabytes == (folder / 'model.onnx').stat().st_size / 1e6
    assert result.pushed == ('model.onnx',)


def test_runs_batches_of_any_size_with_the_outputs_of_the_saved_model(
    bright_model_folder, noisy_images, written
):
    serve = tf.saved_model.load(str(bright_model_folder)).signatures[features.SIGNATURE_PIXELS]
    session = onnxruntime.InferenceSession(
        written[1] / 'model.onnx', providers=['CPUExecutionProvider']
    )
    (pixels,) = session.get_inputs()
    assert (pixels.name, pixels.shape) == ('pixels', ['batch', 32, 32, 3])
    for count in (1, 40):
        images = noisy_images[:count].astype(np.float32)
        wanted = serve(tf.constant(images))
        for name in ('probability', 'logit'):
            (found,) = session.run([name], {'pixels': images})
            np.testing.assert_allclose(found, wanted[name], atol=1e-4)


def test_has_the_classes_in_its_properties(written):
    model = onnx.load(written[1] / 'model.onnx')
    properties = {each.key: each.value for each in model.metadata_props}
    assert json.loads(properties['classes']) == ['cats', 'dogs']


class ThreeColours(tf.Module):
    """Three classes: the colour with the highest mean."""

    @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.float32, 'pixels')])
    def serve(self, pixels):
        logits = tf.reduce_mean(pixels, [1, 2]) / 16
        return {features.LOGIT: logits, features.PROBABILITY: tf.nn.softmax(logits)}


def test_converts_three_classes(noisy_images, tmp_path):
    model = ThreeColours()
    tf.saved_model.save(model, tmp_path, {features.SIGNATURE_PIXELS: model.serve})

    contents = conversion.convert(tmp_path, ('red', 'green', 'blue'))

    found = conversion.probabilities(contents, noisy_images[:3])
    wanted = model.serve(tf.constant(noisy_images[:3], tf.float32))[features.PROBABILITY]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_inaccurate_model_is_written_but_not_pushed(
    bright_model_folder, judged, tmp_path, monkeypatch
):
    monkeypatch.setattr(conversion, 'probabilities', lambda _, images: np.zeros((len(images), 1)))

    result = write_onnx_model(bright_model_folder, judged, OnnxConfig(), 0.5, tmp_path)

    assert result.pushed == ()
    assert 'ONNX 0.4750 (not pushed)' in result.describe()


@pytest.mark.parametrize('package', ['tf2onnx', 'onnx', 'onnxruntime'])
def test_missing_package_is_an_error_before_the_run(package, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name: None if name == package else find(name)
    )
    wanted = f'onnx: {package} is not installed; `make venv-dev` adds it, or remove the key'
    with pytest.raises(ConfigError, match=wanted) as raised:
        check_data(load_recipe('demo', [('onnx', {})]))
    assert raised.value.exit_code == USAGE
