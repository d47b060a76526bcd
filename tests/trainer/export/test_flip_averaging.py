"""Predictions, heat maps and TensorFlow Lite models that average an image and its mirror image."""

import numpy as np
import pytest
import tensorflow as tf

from common import features
from components.conversion.converter_config import FILES
from components.conversion.formats import scores_of, write_models
from components.inference.classifier import Classifier
from trainer.export.saved_model import export
from trainer.model.network import join


def export_averaged(job, network, folder):
    """Exports a network with a random head whose logits are spread; returns it, and pixels."""
    colours = np.random.default_rng(0).integers(0, 256, (24, 4, 4, 3))
    pixels = np.kron(colours, np.ones((1, 8, 8, 1))).astype(np.float32)
    kernel, bias = network.head.get_weights()
    kernel = np.random.default_rng(0).normal(size=kernel.shape)
    network.head.set_weights([kernel, bias])
    logits = join(network, flip_averaging=True)(pixels).numpy()
    scale = 0.5 / logits.std()
    network.head.set_weights([kernel * scale, bias - logits.mean() * scale])
    export(join(network, flip_averaging=True), job.transform, job.classes, folder)
    return Classifier(folder), pixels


@pytest.fixture(scope='module')
def network(small_job):
    return small_job().build_network()


@pytest.fixture(scope='module')
def averaged(small_job, network, tmp_path_factory):
    return export_averaged(small_job(), network, tmp_path_factory.mktemp('averaged'))


def test_logits_are_the_means_of_both(averaged, network):
    classifier, pixels = averaged
    plain = join(network)
    upright, mirrored = (plain(each).numpy() for each in (pixels, pixels[:, :, ::-1]))
    assert np.abs(upright - mirrored).max() > 0.01
    found = classifier.outputs(features.SIGNATURE_PIXELS, pixels)[features.LOGIT]
    np.testing.assert_allclose(found, (upright + mirrored) / 2, atol=1e-4)


def test_heat_map_of_the_mirror_image_is_mirrored(averaged):
    classifier, pixels = averaged
    heat, mirrored = (
        classifier.heat_maps([tf.io.encode_png(each).numpy() for each in images.astype(np.uint8)])
        for images in (pixels, pixels[:, :, ::-1])
    )
    assert np.abs(heat - heat[:, :, ::-1]).max() > 0.01
    np.testing.assert_allclose(mirrored, heat[:, :, ::-1], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(('kind', 'error'), [('float16', 0.01), ('int8', 0.1)])
def test_converts_to_tensorflow_lite(small_job, tmp_path, kind, error):
    """MobileNetV2: delegates of TensorFlow Lite fail for the small network."""
    job = small_job(alpha=0.35, weights='embedded')
    classifier, pixels = export_averaged(job, job.build_network(), tmp_path)
    wanted = classifier.outputs(features.SIGNATURE_PIXELS, pixels)[features.PROBABILITY]
    write_models(classifier, [kind], pixels.astype(np.uint8), tmp_path)
    scores, _ = scores_of(kind, (tmp_path / FILES[kind]).read_bytes(), pixels.astype(np.uint8))
    assert np.ptp(wanted) > 0.2
    np.testing.assert_allclose(scores[:, 1:], wanted, atol=error)
