"""Predictions of the exported signatures, heat maps and warm-up requests."""

import json
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from common import features
from trainer.config.train import TrainConfig
from trainer.export.image_example import image_of
from trainer.export.saved_model import _probability, export
from trainer.export.warmup_requests import _predictions, write_requests
from trainer.model.head import join

BAD = [b'', b'no image', b'GIF89a' + bytes(30)]


@pytest.fixture(scope='module', params=['small_job', 'job_of_three'])
def exported(request, tmp_path_factory):
    """A job with threshold 0.4, its model in memory, and the folder of the SavedModel."""
    job = request.getfixturevalue(request.param)(threshold=0.4, precision='float32')
    network = job.build_network()
    weights = network.head.get_weights()
    weights[-2] = np.random.default_rng(0).normal(size=weights[-2].shape).astype(np.float32)
    network.head.set_weights(weights)
    model = join(network.backbone, network.head)
    folder = tmp_path_factory.mktemp('exported')
    export(model, job.transform, job.classes, folder, job.config.threshold)
    write_requests(folder, model, job)
    return job, model, folder


@pytest.fixture(scope='module')
def signatures(exported):
    return tf.saved_model.load(str(exported[2])).signatures


@pytest.fixture(scope='module')
def images(exported):
    return [*map(image_of, exported[0].splits['eval'].records(6))]


def _numpy(outputs):
    return {key: value.numpy() for key, value in outputs.items()}


def test_invalid_images_get_nan_and_leave_others_unchanged(signatures, images):
    expected = _numpy(signatures['serve_images'](tf.constant(images)))
    assert np.isfinite(expected['probability']).all()
    batch = [images[0], *BAD, *images[1:], images[0][:-2], images[0][: len(images[0]) // 2]]
    valid = [0, *range(4, 9)]
    invalid = [1, 2, 3, 9, 10]
    mixed = _numpy(signatures['serve_images'](tf.constant(batch)))
    for key, values in expected.items():
        assert mixed[key][valid].tolist() == values.tolist()
    assert np.isnan(mixed['probability'][invalid]).all()
    assert np.isnan(mixed['logit'][invalid]).all()
    assert mixed['class'][invalid].ravel().tolist() == [b''] * 5


def test_heat_map_is_grad_cam_of_the_predicted_class(exported, signatures, images):
    _, model, _ = exported
    explained = _numpy(signatures['explain_images'](tf.constant([*images, b'no image'])))
    predicted = _numpy(signatures['serve_images'](tf.constant([*images, b'no image'])))
    for key in predicted:
        np.testing.assert_array_equal(explained[key], predicted[key])
    heat = explained['heat_map']
    assert np.isnan(heat[-1]).all()
    assert heat[:-1].min() >= 0
    assert heat[:-1].max() <= 1
    # The head is linear in the pooled features, so the gradient of a channel is its weight.
    kernel = model.get_layer('head').get_weights()[0]
    names = [*json.loads((exported[2] / features.CLASSES_FILE).read_text())]
    labels = [names.index(name.decode()) for name in explained['class'][:-1, 0]]
    weights = np.array(
        [
            kernel[:, label] if kernel.shape[1] > 1 else kernel[:, 0] * (2 * label - 1)
            for label in labels
        ]
    )
    maps = _feature_maps(exported, images)
    expected = np.maximum(np.einsum('nhwc,nc->nhw', maps, weights), 0)
    largest = expected.max(axis=(1, 2), keepdims=True)
    expected = np.divide(expected, largest, out=np.zeros_like(expected), where=largest > 0)
    np.testing.assert_allclose(heat[:-1], expected, atol=1e-4)


def _pixels(exported, images):
    job = exported[0]
    records = job.splits['eval'].records(len(images))
    return tf.cast(job.splits['eval'].decode(tf.constant(records))[0], tf.float32)


def _feature_maps(exported, images):
    folded = next(each for each in exported[1].layers if each.name.startswith('folded'))
    return folded(_pixels(exported, images) / 127.5 - 1).numpy()


def test_pixels_get_the_predictions_of_their_images(exported, signatures, images):
    by_pixels = _numpy(signatures['serve_pixels'](_pixels(exported, images)))
    by_bytes = _numpy(signatures['serve_images'](tf.constant(images)))
    np.testing.assert_allclose(by_pixels['logit'], by_bytes['logit'], atol=1e-5)
    assert by_pixels['class'].tolist() == by_bytes['class'].tolist()


def test_class_follows_threshold_or_highest_probability(exported, signatures, images):
    predicted = _numpy(signatures['serve_images'](tf.constant(images)))
    probability = predicted['probability']
    labels = (
        (probability[:, 0] >= 0.4).astype(int)
        if probability.shape[1] == 1
        else probability.argmax(axis=1)
    )
    names = [name.decode() for name in predicted['class'][:, 0]]
    assert names == [exported[0].classes[label] for label in labels]


def test_warmup_requests_record_predictions_of_the_network(exported, signatures):
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log
        for record in tf.data.TFRecordDataset(str(exported[2] / features.WARMUP_FILE))
    ]
    requests = []
    for log in logs:
        name = log.request.model_spec.signature_name
        inputs = {key: tf.make_ndarray(value) for key, value in log.request.inputs.items()}
        served = _numpy(signatures[name](**{key: tf.constant(v) for key, v in inputs.items()}))
        requests.append((name, *(len(value) for value in inputs.values())))
        recorded = {key: tf.make_ndarray(value) for key, value in log.response.outputs.items()}
        assert set(recorded) == set(served)
        np.testing.assert_allclose(recorded['probability'], served['probability'], atol=1e-5)
        np.testing.assert_allclose(recorded['logit'], served['logit'], atol=1e-5)
        assert recorded['class'].tolist() == served['class'].tolist()
    both = (features.SIGNATURE_EXAMPLES, features.SIGNATURE_IMAGES)
    assert requests == [(name, count) for name in both for count in (1, 4)]


def test_recorded_class_matches_the_graph_near_the_threshold():
    job = types.SimpleNamespace(config=TrainConfig(), classes=('cat', 'dog'))
    logits = np.array([[-1e-9], [-1e-3], [0.0]], np.float32)
    recorded = _predictions(logits, job)[features.CLASS].ravel()
    served = np.where(_probability(tf.constant(logits)) >= 0.5, b'dog', b'cat').ravel()
    assert recorded.tolist() == served.tolist() == [b'dog', b'cat', b'dog']


def test_probability_is_never_exactly_0_or_1():
    probability = _probability(tf.constant([[200.0, 0.0, 0.0]])).numpy()
    assert np.isfinite(np.log(probability)).all()
    assert np.isfinite(np.log(1 - probability)).all()
