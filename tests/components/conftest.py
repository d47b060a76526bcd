"""Exported models, and a minimal training job to export one."""

import types

import image_bytes
import pytest
import tensorflow as tf

from common import features
from components.inference.classifier import Classifier
from trainer.export.image_example import only_image
from trainer.preprocessing import decode_and_resize

SIZE = 32
CLASSES = ('cats', 'dogs')


@pytest.fixture(scope='session')
def classifier(make_saved_model, tmp_path_factory) -> Classifier:
    """Predicts dogs for images brighter than 125."""
    return Classifier(make_saved_model(tmp_path_factory.mktemp('bright') / 'model'))


@pytest.fixture(scope='session')
def broken(make_saved_model, tmp_path_factory) -> Classifier:
    """Model with NaN weights and without a signature for heat maps."""
    folder = tmp_path_factory.mktemp('broken') / 'model'
    return Classifier(make_saved_model(folder, slope=float('nan'), explains=False))


@pytest.fixture(scope='session')
def images():
    """Four encoded images."""
    return [image_bytes.jpeg(image_bytes.noise(seed=seed)) for seed in range(4)]


def _decode(records):
    images = tf.io.parse_example(
        records, {features.IMAGE_BYTES: tf.io.FixedLenFeature([], tf.string)}
    )
    return tf.cast(decode_and_resize(images[features.IMAGE_BYTES], SIZE, 'squeeze'), tf.uint8)


def _preprocess(inputs):
    return {
        features.IMAGE_XF: decode_and_resize(inputs[features.IMAGE_BYTES].values, SIZE, 'squeeze')
    }


@pytest.fixture(scope='session')
def job(images):
    """Minimal training job for export and warm-up requests."""
    records = [*map(only_image, images)]
    split = types.SimpleNamespace(records=lambda count: records[:count], decode=_decode)
    transform = types.SimpleNamespace(transform_features_layer=lambda: _preprocess)
    config = types.SimpleNamespace(threshold=0.5)
    return types.SimpleNamespace(
        splits={'eval': split}, classes=CLASSES, config=config, transform=transform
    )
