"""The network: backbone and classification head, for training and joined for inference."""

import dataclasses

import keras

from trainer.config.train import TrainConfig
from trainer.model.backbone import Backbone
from trainer.model.folding import fold


@dataclasses.dataclass(frozen=True)
class Network:
    """Backbone, and head from pooled features to logits; models built from them share weights."""

    backbone: Backbone
    head: keras.Model

    @property
    def half_precision(self) -> bool:
        """Whether the backbone computes in float16."""
        return self.backbone.model.output.dtype == 'float16'


def build_head(config: TrainConfig, channels: int, classes: int = 2) -> keras.Model:
    """Builds dropout and dense layers from pooled features, [batch, channels], to logits.

    Two classes have a single logit, [batch, 1]: its sigmoid is the probability of the second
    class. Three or more have one logit each, [batch, classes], for a softmax.
    """
    layers = [(f'dense_{number}', units) for number, units in enumerate(config.head.hidden, 1)]
    layers.append(('logit', 1 if classes == 2 else classes))
    penalty = keras.regularizers.L2(config.head.l2) if config.head.l2 else None
    pooled = values = keras.Input((channels,), name='pooled')
    for number, (name, units) in enumerate(layers):
        values = keras.layers.Dropout(config.head.dropout, seed=config.seed + number)(values)
        activation = None if name == 'logit' else 'relu'
        values = keras.layers.Dense(
            units, activation=activation, kernel_regularizer=penalty, name=name
        )(values)
    return keras.Model(pooled, values, name='head')


def join(network: Network, *, flip_averaging: bool = False) -> keras.Model:
    """Builds the inference model: pixels, float32 [batch, size, size, 3] in 0..255, to logits.

    `flip_averaging` takes the mean of the feature maps of the image and its mirror image, mirrored
    back. With a single dense layer, its logits are the means of both. Later training does not
    change the backbone: batch norm is folded into the present weights.
    """
    backbone = network.backbone.model
    images = keras.Input(backbone.input_shape[1:], name='image')
    scaled = network.backbone.preprocess(images)
    if flip_averaging:  # one batch: the graph has the backbone once
        scaled = keras.ops.concatenate([scaled, keras.ops.flip(scaled, axis=2)])
    feature_map = fold(backbone, 'float32')(scaled)
    if flip_averaging:
        upright, mirrored = keras.ops.split(feature_map, 2)
        feature_map = keras.layers.Average()([upright, keras.ops.flip(mirrored, axis=2)])
    pooled = keras.layers.GlobalAveragePooling2D()(feature_map)
    return keras.Model(images, network.head(pooled), name='classifier')


def scale_logits(model: keras.Model, temperature: float) -> keras.Model:
    """Returns the model with its logits divided by `temperature`, which is no weight of it."""
    if temperature == 1:
        return model
    scaled = keras.layers.Rescaling(1 / temperature, name='temperature')(model.output)
    return keras.Model(model.input, scaled, name=model.name)
