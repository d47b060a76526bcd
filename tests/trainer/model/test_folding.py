"""Folded networks have the outputs of the original."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.model.backbone import build_backbone
from trainer.model.folding import fold, foldable

SMALL = {'image_size': 64, 'weights': 'random'}
NORMS = {'MobileNetV2': 52, 'MobileNetV3Small': 34, 'EfficientNetV2B0': 59, 'ResNet50V2': 32}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ('EfficientNetV2B0', 'ResNet50V2')]
CHANNELS, ROWS = -1, 1  # axes


def images_for(model):
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(1).uniform(-1, 1, shape).astype('float32')


def check_folding(model):
    """Compares a model with its folded copy; the initial norms would hide errors."""
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, each.shape) for each in layer.weights])
    images = images_for(model)
    expected, found = (np.asarray(each(images, training=False)) for each in (model, fold(model)))
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize('name', ['MobileNetV2', 'MobileNetV3Small', *SLOW])
def test_folds_networks_unless_fine_tuning_trains_batch_norm(name):
    config = TrainConfig.model_validate({**SMALL, 'backbone': name})
    trained = config.replaced({'fine_tune.batch_norm': 'train'})
    folded, model = (build_backbone(each).model for each in (config, trained))
    assert (len(foldable(folded)), len(foldable(model))) == (0, NORMS[name])
    check_folding(model)


def test_original_network_takes_trained_weights_back_and_gives_them_on():
    config = TrainConfig.model_validate({**SMALL, 'alpha': 0.35, 'fine_tune': {'epochs': 1}})
    backbone, other = build_backbone(config), build_backbone(config)
    backbone.set_trainable(fine_tuning=True, batch_norm=False)
    trained = backbone.model.trainable_variables
    assert trained
    for variable in trained:
        variable.assign(variable * 1.5 + 0.01)
    images = images_for(backbone.model)
    expected = np.asarray(backbone.model(images, training=False))

    backbone.update_original()
    other.original.set_weights(backbone.original.get_weights())
    other.take_original()

    for model in (backbone.original, other.original, other.model):
        found = np.asarray(model(images, training=False))
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.usefixtures('float16_on_cpu')
def test_dtype_overrides_half_precision():
    config = TrainConfig.model_validate({**SMALL, 'alpha': 0.35})
    model = build_backbone(config, half_precision=True).model
    images = images_for(model)
    assert fold(model)(images).dtype == tf.float16
    assert fold(model, 'float32')(images).dtype == tf.float32


class Standardized(keras.layers.Conv2D):
    """A convolution that batch norm cannot be folded into: another kernel gives the same output."""

    def call(self, inputs):
        kernel = self.kernel / keras.ops.std(self.kernel, axis=(0, 1, 2))
        return keras.ops.conv(inputs, kernel)


@pytest.mark.parametrize(
    ('convolution', 'axis', 'folded'),
    [(keras.layers.Conv2D, CHANNELS, 1), (keras.layers.Conv2D, ROWS, 0), (Standardized, -1, 0)],
)
def test_folds_only_norms_of_channels_and_convolutions_of_keras(convolution, axis, folded):
    norm = keras.layers.BatchNormalization(axis=axis)
    images = values = keras.Input((32, 32, 3))
    for layer in (convolution(8, 3, use_bias=False), norm):
        values = layer(values)
    model = keras.Model(images, values)
    assert len(foldable(model)) == folded
    check_folding(model)


def test_layers_of_another_model_can_be_called_again():
    layers = [keras.layers.Conv2D(8, 3, bias_initializer='ones'), keras.layers.BatchNormalization()]
    first, second = (
        keras.Sequential([keras.Input((size, size, 3)), keras.layers.ReLU(), *layers])
        for size in (64, 48)
    )
    assert first.layers[-1] is second.layers[-1]
    model = keras.Model(second.inputs[0], second.outputs[0])
    assert {*foldable(model)} == {layers[0].name}
    check_folding(model)
