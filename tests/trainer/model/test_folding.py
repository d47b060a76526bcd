"""Folded models have the outputs, gradients and variables of the original."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.model.backbone import Backbone, build_backbone
from trainer.model.folding import fold

CONFIG = TrainConfig.model_validate(
    {
        'image_size': 64,
        'alpha': 0.35,
        'weights': 'random',
        'fine_tune': {'epochs': 1, 'from_layer': 'block_13_expand'},
    }
)


@pytest.fixture(scope='module')
def backbone() -> Backbone:
    """A backbone with random batch norm parameters: the initial ones would hide errors."""
    backbone = build_backbone(CONFIG)
    backbone.freeze(fine_tuning=True)
    random = np.random.default_rng(0)
    for layer in backbone.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, each.shape) for each in layer.weights])
    return backbone


def inputs_of(model):
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(1).uniform(-1, 1, shape).astype('float32')


@pytest.mark.parametrize('part', ['model', 'trunk', 'top'])
def test_outputs_match_the_original_in_both_modes(backbone, part):
    model = getattr(backbone, part)
    folded, inputs = fold(model), inputs_of(model)
    expected = model(inputs, training=False).numpy()
    assert expected.std() > 0
    for training in (False, True):
        outputs = folded(inputs, training=training)
        np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('training', [False, True])
def test_gradients_and_variables_are_those_of_the_original(backbone, training):
    inputs, gradients, folded = inputs_of(backbone.top), [], fold(backbone.top)
    variables = [variable.value for variable in backbone.top.trainable_variables]
    assert {*map(id, folded.trainable_variables)} == {*map(id, backbone.top.trainable_variables)}
    for model, mode in ((backbone.top, False), (folded, training)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(inputs, training=mode) ** 2)
        gradients.append(tape.gradient(loss, variables))
    for expected, gradient in zip(*gradients, strict=True):
        largest = np.abs(expected).max()
        np.testing.assert_allclose(gradient, expected, atol=1e-3 * largest + 1e-7)


def test_training_computes_no_strided_input_gradient(backbone):
    folded = fold(backbone.top)

    @tf.function(autograph=False)
    def train_step(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(folded(images, training=True) ** 2)
        return tape.gradient(loss, [variable.value for variable in folded.trainable_variables])

    graph = train_step.get_concrete_function(inputs_of(folded)).graph
    strides = {
        kind: {
            tuple(each.get_attr('strides')) for each in graph.get_operations() if each.type == kind
        }
        for kind in ('DepthwiseConv2dNative', 'DepthwiseConv2dNativeBackpropInput')
    }
    assert strides == {
        'DepthwiseConv2dNative': {(1, 1, 1, 1), (1, 2, 2, 1)},
        'DepthwiseConv2dNativeBackpropInput': {(1, 1, 1, 1)},
    }


def test_fixed_model_has_a_kernel_and_a_bias_of_its_own_for_each_convolution():
    model = build_backbone(CONFIG).model
    inputs = inputs_of(model)
    expected = fold(model)(inputs).numpy()
    fixed = fold(model, fixed=True)
    for variable in model.variables:
        variable.assign(tf.ones_like(variable))

    assert len(fixed.variables) == 2 * 52
    np.testing.assert_allclose(fixed(inputs).numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures('float16_on_cpu')
@pytest.mark.parametrize('fixed', [False, True])
def test_dtype_overrides_half_precision(fixed):
    model = build_backbone(CONFIG, half_precision=True).top
    inputs = inputs_of(model)
    assert fold(model, fixed=fixed)(inputs).dtype == tf.float16
    assert fold(model, 'float32', fixed=fixed)(inputs).dtype == tf.float32
