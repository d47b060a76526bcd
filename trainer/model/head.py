"""Classification head, and the complete model of backbone and head."""

import keras

from trainer.config.train import TrainConfig
from trainer.model.backbone import Backbone
from trainer.model.folding import fold


def build_head(config: TrainConfig, channels: int, classes: int = 2) -> keras.Model:
    """Builds dropout and dense layers from pooled features, [batch, channels], to logits.

    Two classes have a single logit, [batch, 1]: its sigmoid is the probability of the second
    class. Three or more have one logit each, [batch, classes], for a softmax.
    """
    logits = 1 if classes == 2 else classes
    penalty = keras.regularizers.L2(config.head.l2) if config.head.l2 else None
    pooled = keras.Input((channels,), name='pooled')
    values = pooled
    for number, units in enumerate((*config.head.hidden, logits)):
        values = keras.layers.Dropout(config.head.dropout, seed=config.seed + number)(values)
        last = number == len(config.head.hidden)
        values = keras.layers.Dense(
            units,
            activation=None if last else 'relu',
            kernel_regularizer=penalty,
            name='logit' if last else f'dense_{number + 1}',
        )(values)
    return keras.Model(pooled, values, name='head')


def join(backbone: Backbone, head: keras.Model) -> keras.Model:
    """Builds the inference model: pixels, float32 [batch, size, size, 3] in 0..255, to logits."""
    images = keras.Input(backbone.model.input_shape[1:], name='image')
    scaled = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    feature_map = fold(backbone.model, 'float32')(scaled)
    pooled = keras.layers.GlobalAveragePooling2D()(feature_map)
    return keras.Model(images, head(pooled), name='classifier')
