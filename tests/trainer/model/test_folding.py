"""Folded networks have the outputs of the original, and give their weights back."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.model.backbone import Backbone, build_backbone
from trainer.model.folding import fold, foldable, unfold

SMALL = {'image_size': 64, 'weights': 'random'}
NETWORKS = {
    'MobileNetV2': (0.35, 'block_13_expand', 52),
    'MobileNetV3Small': (1.0, 'expanded_conv_8_expand', 34),
    'EfficientNetV2B0': (1.0, 'block5a_expand_conv', 73),
    'ResNet50V2': (1.0, 'conv5_block1_preact_bn', 32),
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ('EfficientNetV2B0', 'ResNet50V2')]


def with_random_norms(name: str, **changes) -> Backbone:
    """A backbone with random batch norm parameters: the initial ones would hide errors."""
    alpha, layer, _ = NETWORKS[name]
    fine_tune = {'epochs': 1, 'from_layer': layer}
    config = {**SMALL, 'backbone': name, 'alpha': alpha, 'fine_tune': fine_tune, **changes}
    backbone = build_backbone(TrainConfig.model_validate(config))
    random = np.random.default_rng(0)
    for each in backbone.model.layers:
        if isinstance(each, keras.layers.BatchNormalization):
            each.set_weights([random.uniform(0.5, 1.5, w.shape) for w in each.weights])
    return backbone


def images_for(model):
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(1).uniform(-1, 1, shape).astype('float32')


def assert_equal(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert expected.std() > 0
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.fixture(scope='module', params=['MobileNetV2', 'MobileNetV3Small', *SLOW])
def folded(request):
    """Name, backbone and folded network."""
    backbone = with_random_norms(request.param)
    return request.param, backbone, fold(backbone.model)


def test_outputs_and_parts_match_the_original(folded):
    name, backbone, model = folded
    assert len(foldable(backbone.model)) == NETWORKS[name][2]
    images = images_for(model)
    expected = backbone.model(images, training=False)
    assert_equal(model(images, training=False), expected)
    trunk, top = backbone.split(model)
    assert_equal(top(trunk(images, training=False), training=False), expected)


def test_weights_are_given_back(folded):
    _, backbone, model = folded
    images, expected = images_for(model), backbone.model(images_for(model), training=False)
    other = keras.models.clone_model(backbone.model)
    other.set_weights(backbone.model.get_weights())
    trunk, top = backbone.split(model)
    unfold(top, other)
    unfold(trunk, other)
    assert_equal(other(images, training=False), expected)


def test_gradients_are_those_of_the_folded_weights():
    """Also of strided depthwise convolutions, whose gradient is computed without strides."""
    backbone = with_random_norms('MobileNetV2')
    _, top = backbone.split(fold(backbone.model))
    images, gradients = images_for(top), []
    variables = [variable.value for variable in top.trainable_variables]
    for training in (False, True):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(top(images, training=training) ** 2)
        gradients.append(tape.gradient(loss, variables))
    for expected, gradient in zip(*gradients, strict=True):
        largest = np.abs(expected).max()
        np.testing.assert_allclose(gradient, expected, atol=1e-3 * largest + 1e-7)


def test_training_computes_no_strided_input_gradient():
    backbone = with_random_norms('MobileNetV2')
    _, top = backbone.split(fold(backbone.model))

    @tf.function(autograph=False)
    def train_step(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(top(images, training=True) ** 2)
        return tape.gradient(loss, [variable.value for variable in top.trainable_variables])

    graph = train_step.get_concrete_function(images_for(top)).graph
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
