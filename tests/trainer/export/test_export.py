"""Predictions of the exported signatures, and heat maps."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import image_bytes
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from common import features
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import examine
from trainer.export.image_example import image_of, only_image
from trainer.export.saved_model import _probability, export
from trainer.model.network import join, scale_logits

PNG = image_bytes.encoded(image_bytes.noise(), 'PNG')
DAMAGED = [  # complete files, whose content the decoder rejects
    image_bytes.flipped(PNG, PNG.index(b'IDAT') + 9),
    image_bytes.jpeg().replace(b'\xff\xdb', b'\xff\xef'),  # without quantization tables
    image_bytes.jpeg_of_size(48, 0),
]
TEMPERATURE = 2.5
BAD = [b'', b'no image', b'GIF89a' + bytes(30), *DAMAGED]


@pytest.fixture(scope='module', params=['small_job', 'job_of_three'])
def exported(request, small_jobs, tmp_path_factory):
    """A job with threshold 0.4, the model before temperature scaling, and the SavedModel."""
    job = small_jobs[request.param](threshold=0.4)
    network = job.build_network()
    kernel, bias = network.head.get_weights()
    network.head.set_weights([np.random.default_rng(0).normal(size=kernel.shape), bias])
    model, folder = join(network), tmp_path_factory.mktemp('exported')
    scaled = scale_logits(model, TEMPERATURE)
    export(scaled, job.transform, job.classes, folder, job.config.threshold)
    return job, model, folder


@pytest.fixture(scope='module')
def call(exported):
    """`call(signature, inputs)`: outputs of the SavedModel as arrays."""
    signatures = tf.saved_model.load(str(exported[2])).signatures

    def call_signature(name, inputs):
        return {key: value.numpy() for key, value in signatures[name](inputs).items()}

    return call_signature


@pytest.fixture(scope='module')
def images(exported):
    return [*map(image_of, exported[0].splits['eval'].records(1000)[:6])]


@pytest.fixture(scope='module')
def predicted(call, images):
    return call('serve_images', tf.constant(images))


@pytest.fixture(scope='module')
def pixels(exported):
    return next(iter(exported[0].splits['eval'].batches(6)))[0].numpy().astype(np.float32)


def test_invalid_images_get_nan_and_leave_others_unchanged(call, images, predicted):
    assert np.isfinite(predicted['probability']).all()
    batch = [images[0], *BAD, *images[1:], images[0][:-2], images[0][: len(images[0]) // 2]]
    valid = [0, *range(len(BAD) + 1, len(BAD) + 6)]
    invalid = [*set(range(len(batch))).difference(valid)]
    mixed = call('serve_images', tf.constant(batch))
    np.testing.assert_allclose(mixed['logit'][valid], predicted['logit'], atol=1e-4)
    assert mixed['class'][valid].tolist() == predicted['class'].tolist()
    assert np.isnan(mixed['probability'][invalid]).all()
    assert np.isnan(mixed['logit'][invalid]).all()
    assert mixed['class'][invalid].ravel().tolist() == [b''] * (len(BAD) + 2)
    for signature in ('serve_images', 'explain_images'):
        assert np.isnan(call(signature, tf.constant(DAMAGED))['logit']).all()


@pytest.mark.skipif(
    shutil.which('java') is None or 'CATDOG_TENSORFLOW_JAVA' not in os.environ,
    reason='there is no Java, or CATDOG_TENSORFLOW_JAVA, the folder of its jars, is not set',
)
def test_tensorflow_for_java_predicts_the_same(exported, images, predicted, tmp_path):
    files = [tmp_path / str(number) for number in range(len(images))]
    for file, contents in zip(files, images, strict=True):
        file.write_bytes(contents)
    jars, program = os.environ['CATDOG_TENSORFLOW_JAVA'], Path(__file__).with_name('Predict.java')
    command = ['java', '-cp', f'{jars}/*', program, exported[2], *files]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    signatures, *lines = printed.splitlines()
    assert signatures == 'explain_images serve_images serve_pixels serving_default'
    names, *probabilities = zip(*map(str.split, lines), strict=True)
    assert [name.encode() for name in names] == predicted['class'].ravel().tolist()
    found = np.array(probabilities, np.float32).T
    np.testing.assert_allclose(found, predicted['probability'], atol=1e-4)


def test_served_files_get_predictions_of_their_ingested_copies(exported, call):
    job, model, _ = exported
    files = [
        image_bytes.turned(6, 'PNG'),
        image_bytes.encoded(image_bytes.with_alpha(), 'PNG'),
        image_bytes.jpeg(image_bytes.natural(0, (640, 480))),  # antialiased
    ]
    copies = [examine(contents, CheckConfig()).contents for contents in files]
    pixels = job.splits['eval'].decode(tf.constant([*map(only_image, copies)]))
    expected = model(tf.cast(pixels, tf.float32), training=False)
    served = {'serve_images': files, 'serving_default': [*map(only_image, files)]}
    for signature, values in served.items():
        found = call(signature, tf.constant(values))['logit']
        np.testing.assert_allclose(found, expected / TEMPERATURE, atol=1e-4)


def test_heat_map_is_grad_cam_of_the_predicted_class(exported, call, images, predicted, pixels):
    _, model, folder = exported
    explained = call('explain_images', tf.constant([*images, b'no image']))
    np.testing.assert_allclose(explained['logit'][:-1], predicted['logit'], atol=1e-4)
    assert explained['class'][:-1].tolist() == predicted['class'].tolist()
    heat = explained['heat_map']
    assert np.isnan(heat[-1]).all()
    # The head is linear in the pooled features, so the gradient of a channel is its weight.
    kernel = model.get_layer('head').get_weights()[0]
    kernel = kernel if kernel.shape[1] > 1 else np.hstack([-kernel, kernel])
    names = [*json.loads((folder / features.CLASSES_FILE).read_text())]
    weights = np.array([kernel[:, names.index(name.decode())] for name in predicted['class'][:, 0]])
    folded = next(each for each in model.layers if isinstance(each, keras.Model))
    expected = np.einsum('nhwc,nc->nhw', folded(pixels / 127.5 - 1), weights).clip(min=0)
    largest = expected.max(axis=(1, 2), keepdims=True)
    expected = np.divide(expected, largest, out=np.zeros_like(expected), where=largest > 0)
    np.testing.assert_allclose(heat[:-1], expected, atol=1e-4)


def test_class_follows_threshold_or_highest_probability(exported, call, pixels, predicted):
    by_pixels = call('serve_pixels', tf.constant(pixels))
    np.testing.assert_allclose(by_pixels['logit'], predicted['logit'], atol=1e-4)
    probability = predicted['probability']
    binary = probability.shape[1] == 1
    labels = probability[:, 0] >= 0.4 if binary else probability.argmax(axis=1)
    names = [exported[0].classes[int(label)] for label in labels]
    assert names == [name.decode() for name in predicted['class'][:, 0]]
    if not binary:
        np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-6)


def test_pixels_of_another_rank_are_an_error(exported):
    """A model server feeds the graph as here, without Python's check of shapes."""
    folder = str(exported[2])
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        loaded = tf.compat.v1.saved_model.load(session, ['serve'], folder)
        signature = loaded.signature_def['serve_pixels']
        feed, fetch = signature.inputs['pixels'].name, signature.outputs['logit'].name
        call = session._make_callable_from_options(
            config_pb2.CallableOptions(feed=[feed], fetch=[fetch])
        )
        size = loaded.signature_def['serve_pixels'].inputs['pixels'].tensor_shape.dim[1].size
        for shape in ((size, size, 3), (1, 1, size, size, 3), (1, size + 1, size, 3), ()):
            with pytest.raises(tf.errors.InvalidArgumentError, match='is not compatible with'):
                call(np.zeros(shape, np.float32))
        assert call(np.zeros((2, size, size, 3), np.float32))[0].shape[0] == 2


def test_probabilities_have_a_finite_log_loss():
    extreme = _probability(tf.constant([[200.0, 0.0]])).numpy()
    assert np.isfinite([np.log(extreme), np.log(1 - extreme)]).all()
