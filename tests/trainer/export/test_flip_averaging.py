"""Predictions, heat maps and TensorFlow Lite models that average an image and its mirror image."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from common import features
from components.conversion.converter_config import FILES
from components.conversion.formats import scores_of, write_models
from components.inference.classifier import Classifier
from trainer.export.saved_model import export
from trainer.model.network import Network, join
from trainer.training.job import Job


def export_averaged(job: Job, network: Network, pixels: np.ndarray, folder: Path) -> None:
    """Exports a network with a random head whose logits are spread."""
    kernel, bias = network.head.get_weights()
    kernel = np.random.default_rng(0).normal(0, 1, kernel.shape).astype(np.float32)
    network.head.set_weights([kernel, bias])
    logits = join(network, flip_averaging=True)(tf.cast(pixels, tf.float32)).numpy()
    scale = 0.5 / logits.std()
    network.head.set_weights([kernel * scale, bias - logits.mean() * scale])
    export(join(network, flip_averaging=True), job.transform, job.classes, folder)


@pytest.fixture(scope='module')
def averaged(small_job, tmp_path_factory):
    """A network, the folder of its SavedModel, and the pixels of eval images."""
    job, folder = small_job(flip_averaging=True), tmp_path_factory.mktemp('averaged')
    network = job.build_network()
    (pixels, _), *_ = job.splits['eval'].batches(24)
    export_averaged(job, network, pixels.numpy(), folder)
    return network, folder, pixels.numpy()


@pytest.fixture(scope='module')
def mobilenet(small_job, tmp_path_factory):
    """Folder of the SavedModel of MobileNetV2, and pixels: delegates fail for the small network."""
    job = small_job(flip_averaging=True, alpha=0.35, weights='embedded')
    folder = tmp_path_factory.mktemp('mobilenet')
    colours = np.random.default_rng(0).integers(0, 256, (24, 4, 4, 3))
    pixels = np.kron(colours, np.ones((1, 8, 8, 1))).astype(np.uint8)
    export_averaged(job, Job.build_network(job), pixels, folder)
    return folder, pixels


def load(folder: Path) -> Callable[..., dict[str, np.ndarray]]:
    signatures = tf.saved_model.load(str(folder)).signatures
    return lambda name, inputs: {
        key: value.numpy() for key, value in signatures[name](tf.constant(inputs)).items()
    }


@pytest.fixture(scope='module')
def call(averaged):
    return load(averaged[1])


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


@pytest.mark.slow
@pytest.mark.parametrize(('kind', 'error'), [('float16', 0.01), ('int8', 0.1)])
def test_converts_to_tensorflow_lite(mobilenet, tmp_path, kind, error):
    folder, pixels = mobilenet
    wanted = load(folder)(features.SIGNATURE_PIXELS, pixels.astype(np.float32))
    probability = wanted[features.PROBABILITY]
    write_models(Classifier(folder), [kind], pixels, tmp_path)
    scores, _ = scores_of(kind, (tmp_path / FILES[kind]).read_bytes(), pixels)
    assert np.ptp(probability) > 0.2
    np.testing.assert_allclose(scores[:, 1:], probability, atol=error)
