"""A Keras model rebuilt from the weights beside a SavedModel."""

import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import features
from common.artifacts import SERVED
from common.errors import ModelError
from components.conversion.keras_format import rebuild
from components.inference.classifier import Classifier
from trainer.config.train import TrainConfig
from trainer.model.backbone import build_backbone
from trainer.model.network import Network, build_head, join, scale_logits
from trainer.training.trained_images import TRAINED_IMAGE, index_file
from trainer.training.warm_start import save_weights, weights_folder

PIXELS = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)


def build_network(config, classes, seed):
    keras.utils.set_random_seed(seed)
    backbone = build_backbone(config)
    return Network(backbone, build_head(config, backbone.model.output_shape[-1], len(classes)))


def write_model(config, classes, folder):
    """Writes the SavedModel of a random network with a temperature of 2.5, and its weights."""
    network = build_network(config, classes, seed=3)
    model = scale_logits(join(network, flip_averaging=config.flip_averaging), 2.5)
    module, served = tf.Module(), str(folder / SERVED)
    module.values = [variable.value for variable in model.variables]

    def serve(pixels):
        logits = model(pixels, training=False)
        return {features.LOGIT: logits, features.PROBABILITY: tf.sigmoid(logits)}

    spec = tf.TensorSpec([None, *PIXELS.shape[1:]], tf.float32, features.PIXELS_INPUT)
    signature = tf.function(serve, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, served, {features.SIGNATURE_PIXELS: signature})
    file = folder / SERVED / features.CLASSES_FILE
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(classes))
    save_weights(network, {}, weights_folder(served))
    np.save(index_file(served), np.empty(0, TRAINED_IMAGE))
    return Classifier(folder / SERVED)


def make_config(**changes):
    values = {'image_size': 32, 'alpha': 0.35, 'weights': 'random', 'head': {'hidden': [8]}}
    return TrainConfig.model_validate({**values, **changes})


def test_has_the_scores_of_the_saved_model_and_refuses_other_weights(tmp_path):
    config, classes = make_config(flip_averaging=True), ('cats', 'dogs')
    classifier = write_model(config, classes, tmp_path)

    rebuild(classifier, config, tmp_path).save(tmp_path / 'model.keras')

    found = keras.saving.load_model(tmp_path / 'model.keras').predict(PIXELS, verbose=0)
    wanted = classifier.outputs(features.SIGNATURE_PIXELS, PIXELS)[features.PROBABILITY]
    np.testing.assert_allclose(found, np.hstack([1 - wanted, wanted]), atol=1e-4)
    with zipfile.ZipFile(tmp_path / 'model.keras') as archive:
        assert b'trainer.' not in archive.read('config.json')

    other = build_network(config, classes, seed=4)
    save_weights(other, {}, weights_folder(str(tmp_path / SERVED)))
    with pytest.raises(ModelError, match='weights do not give its predictions'):
        rebuild(classifier, config, tmp_path)


def test_refuses_a_model_without_weights(tmp_path):
    with pytest.raises(ModelError, match='weights are not in'):
        rebuild(None, make_config(), tmp_path)
