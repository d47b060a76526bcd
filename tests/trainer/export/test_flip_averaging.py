"""Predictions, heat maps and TensorFlow Lite models that average an image and its mirror image."""

import numpy as np
import pytest
import tensorflow as tf

from common import features
from components.lite_converter.conversion import convert, probabilities
from trainer.export.saved_model import export
from trainer.model.network import join


@pytest.fixture(scope='module')
def averaged(small_job, tmp_path_factory):
    """Network with random weights of the head, folder of its SavedModel, eval images and pixels."""
    job, folder = small_job(flip_averaging=True), tmp_path_factory.mktemp('averaged')
    network = job.build_network()
    weights = network.head.get_weights()
    weights[-2] = np.random.default_rng(0).normal(0, 3, weights[-2].shape).astype(np.float32)
    network.head.set_weights(weights)
    model = join(network, flip_averaging=job.config.flip_averaging)
    export(model, job.transform, job.classes, folder)
    pixels, _ = next(iter(job.splits['eval'].batches(24)))
    return network, folder, pixels.numpy()


@pytest.fixture(scope='module')
def call(averaged):
    signatures = tf.saved_model.load(str(averaged[1])).signatures
    return lambda name, inputs: {
        key: value.numpy() for key, value in signatures[name](tf.constant(inputs)).items()
    }


def test_logits_are_the_means_of_both(averaged, call):
    network, _, pixels = averaged
    pixels = pixels.astype(np.float32)
    plain = join(network)
    upright, mirrored = (plain(each).numpy() for each in (pixels, pixels[:, :, ::-1]))
    assert np.abs(upright - mirrored).max() > 0.01
    found = call(features.SIGNATURE_PIXELS, pixels)[features.LOGIT]
    np.testing.assert_allclose(found, (upright + mirrored) / 2, atol=1e-4)


def test_heat_map_of_the_mirror_image_is_mirrored(averaged, call):
    upright, mirrored = (
        call(features.SIGNATURE_EXPLANATION, [tf.io.encode_png(each).numpy() for each in images])
        for images in (averaged[2], averaged[2][:, :, ::-1])
    )
    heat = upright[features.HEAT_MAP]
    assert np.abs(heat - heat[:, :, ::-1]).max() > 0.01
    np.testing.assert_allclose(mirrored[features.HEAT_MAP], heat[:, :, ::-1], atol=1e-3)
    np.testing.assert_allclose(mirrored[features.LOGIT], upright[features.LOGIT], atol=1e-4)


@pytest.mark.parametrize(('kind', 'error'), [('float16', 0.01), ('int8', 0.05)])
def test_converts_to_tensorflow_lite(averaged, call, kind, error):
    _, folder, pixels = averaged
    expected = call(features.SIGNATURE_PIXELS, pixels.astype(np.float32))[features.PROBABILITY]
    found = probabilities(convert(folder, kind, pixels), pixels)
    np.testing.assert_allclose(found, expected, atol=error)
