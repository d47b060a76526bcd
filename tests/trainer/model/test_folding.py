"""Folded networks have the outputs of the original."""

import keras
import numpy as np
import pytest

from trainer.config.train import TrainConfig
from trainer.model.backbone import build_backbone
from trainer.model.folding import fold, foldable

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
def test_folds_networks(name):
    config = TrainConfig(image_size=64, weights='random', backbone=name)
    backbone = build_backbone(config)
    assert len(foldable(backbone.model)) == 0
    assert len(foldable(backbone.original)) == NORMS[name]
    check_folding(backbone.original)


def test_original_network_takes_trained_weights_back_and_gives_them_on(small_job):
    job = small_job(fine_tune={'epochs': 1, 'from_layer': 'block_1_expand'})
    backbone, other = (job.build_network().backbone for _ in range(2))
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
