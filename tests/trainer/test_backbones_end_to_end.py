"""Other networks than MobileNetV2: trained in both stages, exported and served."""

import numpy as np
import pytest
import tensorflow as tf
from training_jobs import train_in, write_splits, write_transform_graph

from common import features
from components.inference.classifier import Classifier
from trainer.config.train import TrainConfig
from trainer.export.image_example import image_of
from trainer.export.saved_model import export
from trainer.model.network import join
from trainer.training.job import Job, Timings

CLASSES = ('cats', 'dogs')
OTHERS = ('MobileNetV3Large', 'EfficientNetV2B0', 'ResNet50V2', 'ConvNeXtTiny', 'DenseNet121')
SETTINGS = {
    'image_size': 64,
    'weights': 'random',
    'batch_size': 16,
    'feature_extraction': {'epochs': 2, 'learning_rate': 1e-2},
    'fine_tune': {'epochs': 1, 'from_layer': 0.9},
    'augment': {'flip': True},
}


@pytest.fixture(scope='module')
def transform_and_splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp('jobs')
    transform = write_transform_graph(folder / 'graph', 64)
    return transform, write_splits(folder / 'splits', CLASSES, transform)


@pytest.mark.parametrize(
    'backbone',
    ['MobileNetV3Small', *(pytest.param(each, marks=pytest.mark.slow) for each in OTHERS)],
)
def test_network_is_trained_exported_and_served(backbone, transform_and_splits, tmp_path):
    config = TrainConfig.model_validate({**SETTINGS, 'backbone': backbone})
    job = Job(config, CLASSES, *transform_and_splits, Timings())
    network, training = train_in(tmp_path, job)
    export(join(network), job.transform, job.classes, tmp_path / 'model')

    assert [len(each.metrics['loss']) for each in training.histories] == [2, 1]
    images = [image_of(each) for each in job.splits['eval'].records(1000)[:8]]
    found = Classifier(tmp_path / 'model').outputs(features.SIGNATURE_IMAGES, images)
    pixels = tf.cast(next(iter(job.splits['eval'].batches(8)))[0], tf.float32)
    scaled = network.backbone.preprocess(pixels)
    feature_map = network.backbone.model(scaled, training=False)
    logits = network.head(tf.reduce_mean(feature_map, [1, 2])).numpy()
    scale = max(1.0, np.abs(logits).max())
    np.testing.assert_allclose(found[features.LOGIT], logits, atol=1e-3 * scale)
