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
        'image_size': 32,
        'alpha': 0.35,
        'weights': 'random',
        'fine_tune': {'epochs': 1, 'from_layer': 'block_14_expand'},
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


def test_gradients_and_variables_are_those_of_the_original(backbone):
    inputs, gradients, folded = inputs_of(backbone.top), [], fold(backbone.top)
    variables = [variable.value for variable in backbone.top.trainable_variables]
    assert {*map(id, folded.trainable_variables)} == {*map(id, backbone.top.trainable_variables)}
    for model in (backbone.top, folded):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(inputs, training=False) ** 2)
        gradients.append(tape.gradient(loss, variables))
    for expected, gradient in zip(*gradients, strict=True):
        largest = np.abs(expected).max()
        np.testing.assert_allclose(gradient, expected, atol=1e-3 * largest + 1e-7)


def test_dtype_overrides_half_precision():
    model = build_backbone(CONFIG, half_precision=True).top
    inputs = inputs_of(model)
    assert fold(model)(inputs).dtype == tf.float16
    assert fold(model, 'float32')(inputs).dtype == tf.float32
