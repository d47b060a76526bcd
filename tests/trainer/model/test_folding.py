"""Folded networks have the outputs of the original, and give their weights back."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import ConfigError
from trainer.config.train import TrainConfig
from trainer.model.backbone import build_backbone
from trainer.model.folding import fold, foldable, unfold
from trainer.model.network import check_folding

SMALL = {'image_size': 64, 'weights': 'random'}
NETWORKS = {
    'MobileNetV2': (0.35, 'block_13_expand', 52),
    'MobileNetV3Small': (1.0, 'expanded_conv_8_expand', 34),
    'EfficientNetV2B0': (1.0, 'block5a_expand_conv', 59),
    'ResNet50V2': (1.0, 'conv5_block1_preact_bn', 32),
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ('EfficientNetV2B0', 'ResNet50V2')]


def with_random_norms(name):
    """A backbone with random parameters of batch norms, whose folded parts have its outputs."""
    alpha, layer, _ = NETWORKS[name]
    fine_tune = {'epochs': 1, 'from_layer': layer}
    config = {**SMALL, 'backbone': name, 'alpha': alpha, 'fine_tune': fine_tune}
    backbone = build_backbone(TrainConfig.model_validate(config))
    check_folding(backbone, name)
    return backbone


def images_for(model):
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(1).uniform(-1, 1, shape).astype('float32')


@pytest.mark.parametrize('name', ['MobileNetV2', 'MobileNetV3Small', *SLOW])
def test_folds_networks_and_gives_weights_back(name):
    backbone = with_random_norms(name)
    assert len(foldable(backbone.model)) == NETWORKS[name][2]
    images, other = images_for(backbone.model), keras.models.clone_model(backbone.model)
    other.set_weights(backbone.model.get_weights())
    for part in backbone.split(fold(backbone.model)):
        unfold(part, other)
    expected, found = (np.asarray(each(images)) for each in (backbone.model, other))
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_gradients_of_strided_depthwise_convolutions_are_computed_without_strides():
    backbone = with_random_norms('MobileNetV2')
    _, top = backbone.split(fold(backbone.model))
    images, variables = images_for(top), [each.value for each in top.trainable_variables]

    @tf.function(autograph=False)
    def gradients(images, training):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(top(images, training=training) ** 2)
        return tape.gradient(loss, variables)

    plain, trained = gradients(images, False), gradients(images, True)
    for expected, gradient in zip(plain, trained, strict=True):
        largest = np.abs(expected).max()
        np.testing.assert_allclose(gradient, expected, atol=1e-3 * largest + 1e-7)
    graph = gradients.get_concrete_function(images, True).graph
    kind = 'DepthwiseConv2dNativeBackpropInput'
    strides = {
        tuple(each.get_attr('strides')) for each in graph.get_operations() if each.type == kind
    }
    assert strides == {(1, 1, 1, 1)}


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


class Scaled(keras.layers.Layer):
    """A layer whose configuration lacks its argument."""

    def __init__(self, factor=1, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, inputs):
        return inputs * self.factor

    def get_config(self):
        return super().get_config()


def backbone_of(monkeypatch, *layers):
    def make(size):
        return keras.Sequential([keras.Input((size, size, 3)), *layers])

    monkeypatch.setattr(f'{__name__}.users_model', make, raising=False)
    model = {'model': f'{__name__}:users_model', 'image_size': 32, 'weights': 'random'}
    fine_tune = {'epochs': 1, 'from_layer': 0}
    return build_backbone(TrainConfig.model_validate({**model, 'fine_tune': fine_tune}))


@pytest.mark.parametrize(
    ('convolution', 'axis', 'folded'),
    [(keras.layers.Conv2D, -1, 1), (keras.layers.Conv2D, 1, 0), (Standardized, -1, 0)],
)
def test_folds_only_norms_of_channels_and_convolutions_of_keras(
    monkeypatch, convolution, axis, folded
):
    norm = keras.layers.BatchNormalization(axis=axis)
    backbone = backbone_of(monkeypatch, convolution(8, 3, use_bias=False), norm)
    assert len(foldable(backbone.model)) == folded
    check_folding(backbone, 'own')


def test_layers_of_another_model_can_be_called_again(monkeypatch):
    convolution = keras.layers.Conv2D(8, 3, bias_initializer='ones')
    layers = [convolution, keras.layers.BatchNormalization()]
    for size in (64, 48):
        keras.Sequential([keras.Input((size, size, 3)), keras.layers.ReLU(), *layers])
    backbone = backbone_of(monkeypatch, *layers)
    assert {*foldable(backbone.model)} == {layers[0].name}
    check_folding(backbone, 'own')


@pytest.mark.parametrize(
    ('layer', 'message'),
    [
        (keras.layers.Lambda(lambda x: 2 * x), 'own cannot be copied: ValueError: .*Lambda'),
        (Scaled(2), 'the output of own changes by 50.0% when its layers are copied'),
        (Scaled(float('inf')), 'the output of own is not finite'),
    ],
)
def test_reports_models_that_cannot_be_copied(monkeypatch, layer, message):
    backbone = backbone_of(monkeypatch, layer, keras.layers.Conv2D(8, 3, use_bias=False))
    with pytest.raises(ConfigError, match=f'trainer.model: {message}'):
        check_folding(backbone, 'own')
