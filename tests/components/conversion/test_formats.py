"""Models in other formats, compared with the SavedModel."""

import json
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf

from common import features
from components.conversion.converter_config import FILES
from components.conversion.formats import scores_of, write_models
from components.inference.classifier import Classifier

ERRORS = {'float16': 2e-3, 'int8': 0.05, 'onnx': 1e-5}
# A process without TensorFlow: scores of a model for the images in an .npy file.
PREDICT = """
import sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
model, images, output = sys.argv[1:]
run = Interpreter(model_path=model).get_signature_runner()
found = [run(pixels=image[None].astype(np.float32))['scores'] for image in np.load(images)]
np.save(output, np.concatenate(found))
assert 'tensorflow' not in sys.modules
"""


@pytest.fixture(scope='module')
def wanted(bright, noisy_images):
    """Probabilities of both classes, of the SavedModel."""
    outputs = bright.outputs(features.SIGNATURE_PIXELS, noisy_images.astype(np.float32))
    probability = outputs[features.PROBABILITY]
    return np.hstack([1 - probability, probability])


@pytest.mark.parametrize('kind', FILES)
def test_scores_are_close_to_the_saved_model(converted, noisy_images, wanted, kind):
    scores, seconds = scores_of(kind, (converted / FILES[kind]).read_bytes(), noisy_images)

    assert seconds > 0
    np.testing.assert_allclose(scores, wanted, atol=ERRORS[kind])


@pytest.mark.parametrize('kind', ['float16', 'int8'])
def test_runs_in_the_runtime_of_phones(converted, noisy_images, wanted, tmp_path, kind):
    np.save(tmp_path / 'images.npy', noisy_images)
    arguments = (converted / FILES[kind], tmp_path / 'images.npy', tmp_path / 'found.npy')

    subprocess.run([sys.executable, '-c', PREDICT, *arguments], check=True, timeout=100)

    np.testing.assert_allclose(np.load(tmp_path / 'found.npy'), wanted, atol=ERRORS[kind])


def test_onnx_runs_batches_of_any_size(converted, noisy_images, wanted):
    session = onnxruntime.InferenceSession(
        converted / FILES['onnx'], providers=['CPUExecutionProvider']
    )
    (pixels,), (scores,) = session.get_inputs(), session.get_outputs()
    assert (pixels.name, pixels.shape) == ('pixels', ['batch', 32, 32, 3])
    assert (scores.name, scores.shape) == ('scores', ['batch', 2])
    (found,) = session.run(None, {'pixels': noisy_images.astype(np.float32)})
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_int8_has_integer_tensors_and_float_inputs_and_outputs(converted):
    interpreter = tf.lite.Interpreter(model_path=str(converted / FILES['int8']))
    ends = (*interpreter.get_input_details(), *interpreter.get_output_details())
    assert {each['dtype'] for each in ends} == {np.float32}
    kinds = {np.dtype(each['dtype']).name for each in interpreter.get_tensor_details()}
    assert 'int8' in kinds


def test_class_names_lie_beside_the_models(converted):
    assert (converted / 'labels.txt').read_text() == 'cats\ndogs\n'


class ThreeColours(tf.Module):
    """Three classes: the colour with the highest mean. Its function captures a constant."""

    def __init__(self):
        super().__init__()
        self.scale = tf.constant([16.0, 17.0, 18.0])

    @tf.function(input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.float32, 'pixels')])
    def serve(self, pixels):
        logits = tf.reduce_mean(pixels, [1, 2]) / self.scale
        return {features.LOGIT: logits, features.PROBABILITY: tf.nn.softmax(logits)}


def test_converts_three_classes_and_captured_constants(noisy_images, tmp_path):
    model = ThreeColours()
    tf.saved_model.save(model, tmp_path, {features.SIGNATURE_PIXELS: model.serve})
    (tmp_path / features.CLASSES_FILE).parent.mkdir(exist_ok=True)
    (tmp_path / features.CLASSES_FILE).write_text(json.dumps(['red', 'green', 'blue']))

    write_models(Classifier(tmp_path), ['float16', 'onnx'], None, tmp_path)

    wanted = model.serve(tf.constant(noisy_images[:3], tf.float32))[features.PROBABILITY]
    for kind in ('float16', 'onnx'):
        found, _ = scores_of(kind, (tmp_path / FILES[kind]).read_bytes(), noisy_images[:3])
        np.testing.assert_allclose(found, wanted, atol=ERRORS[kind])
