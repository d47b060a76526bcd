"""Rebuilds an exported model with layers of Keras, from the weights beside the Trainer's model."""

from pathlib import Path

import keras
import numpy as np

from common import features
from common.artifacts import SERVED
from common.errors import ModelError
from components.inference.classifier import Classifier
from trainer.config.train import SHALLOW, TrainConfig
from trainer.model.backbone import build_backbone
from trainer.model.network import Network, build_head
from trainer.training.warm_start import load_weights, weights_folder

KERAS_FILE = 'model.keras'
_IMAGES, _TOLERANCE = 8, 1e-3  # of the comparison with the SavedModel; relative


def rebuild(classifier: Classifier, config: TrainConfig, model: Path) -> keras.Model:
    """Rebuilds a model that was trained as in `config`, from the folder of its Model artifact.

    It takes `pixels`, float32 [batch, size, size, 3] in 0..255, and returns `scores`, the
    probability of each class, float32 [batch, classes]. Keras loads the file without this project.
    Batch norm is not folded, so that the model can be trained further.

    Raises:
        ModelError: there are no weights, or they do not give the predictions of the SavedModel.
    """
    saved_model = str(model / SERVED)
    if not weights_folder(saved_model).is_dir():
        raise ModelError(f'its weights are not in {weights_folder(saved_model)} any more')
    config = config.without_auto(SHALLOW)  # all layers are rebuilt
    config = config.replaced({'weights': 'random', 'image_size': classifier.image_size})
    backbone = build_backbone(config)
    head = build_head(config, backbone.model.output_shape[-1], len(classifier.classes))
    load_weights(Network(backbone, head), {}, saved_model)
    pixels = keras.Input(backbone.model.input_shape[1:], name=features.PIXELS_INPUT)
    scaled = backbone.preprocess(pixels)
    views = [scaled, keras.ops.flip(scaled, axis=2)] if config.flip_averaging else [scaled]
    pooled = [keras.layers.GlobalAveragePooling2D()(backbone.original(view)) for view in views]
    logits = head(keras.layers.Average()(pooled) if config.flip_averaging else pooled[0])
    temperature = _temperature(keras.Model(pixels, logits), classifier)
    return keras.Model(pixels, _scores(logits, temperature), name='classifier')


def _temperature(model: keras.Model, classifier: Classifier) -> float:
    """The number that the SavedModel divides logits by, which is no weight.

    Raises ModelError if no number gives its logits.
    """
    size = classifier.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (_IMAGES, size, size, 3)).astype(np.float32)
    served = classifier.outputs(features.SIGNATURE_PIXELS, pixels)[features.LOGIT]
    rebuilt = np.asarray(model(pixels, training=False))
    temperature = float((rebuilt * served).sum() / np.square(served).sum())
    error = np.abs(rebuilt / temperature - served).max()
    if not error <= _TOLERANCE * np.abs(served).max():
        raise ModelError('its weights do not give its predictions; it was trained by other code')
    return temperature


def _scores(logits: keras.KerasTensor, temperature: float) -> keras.KerasTensor:
    """The probability of each class; a single logit is that of the second of two classes."""
    scaled = keras.layers.Rescaling(1 / temperature, name='temperature')(logits)
    if logits.shape[-1] == 1:
        first = keras.layers.Rescaling(0.0)(scaled)
        scaled = keras.layers.Concatenate()([first, scaled])
    return keras.layers.Softmax(name=features.SCORES)(scaled)
