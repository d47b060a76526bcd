"""Other networks than MobileNetV2: trained in both stages, exported and served."""

import numpy as np
import pytest
import tensorflow as tf
from training_jobs import train_in

from common import features
from components.inference.classifier import Classifier
from trainer.export.image_example import image_of
from trainer.export.saved_model import export
from trainer.model.network import join

NAMES = ('MobileNetV3Small', 'MobileNetV3Large', 'EfficientNetV2B0', 'ResNet50V2', 'ConvNeXtTiny')
SLOW = [
    pytest.param({'backbone': name}, marks=pytest.mark.slow) for name in (*NAMES, 'DenseNet121')
]


@pytest.mark.parametrize('changes', [{'model': 'training_jobs:own_model'}, *SLOW], ids=str)
def test_network_is_trained_exported_and_served(changes, small_job, tmp_path):
    job = small_job(fine_tune={'epochs': 1, 'from_layer': 0.9}, augment={'flip': True}, **changes)
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
