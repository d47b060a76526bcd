"""Folded models have the outputs, gradients and variables of the original."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.model.backbone import Backbone, build_backbone, last_cut_before
from trainer.model.folding import fold


@pytest.fixture(scope='module')
def backbone() -> Backbone:
    """A backbone with random batch norm parameters: the initial ones would hide errors."""
    config = {
        'image_size': 32,
        'alpha': 0.35,
        'weights': 'random',
        'fine_tune': {'epochs': 1, 'from_layer': 'block_14_expand'},
    }
    backbone = build_backbone(TrainConfig.model_validate(config))
    backbone.unfreeze_upper()
    random = np.random.default_rng(0)
    for layer in backbone.model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            weights = [random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()]
            layer.set_weights(weights)
    return backbone


def inputs_of(model):
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(1).uniform(-1, 1, shape).astype('float32')


@pytest.mark.parametrize('part', ['model', 'trunk', 'top'])
def test_outputs_match_the_original(backbone, part):
    model = getattr(backbone, part)
    inputs = inputs_of(model)
    expected = model(inputs, training=False).numpy()
    assert expected.std() > 0
    np.testing.assert_allclose(fold(model)(inputs), expected, rtol=1e-3, atol=1e-4)


def test_training_mode_uses_moving_statistics(backbone):
    folded, inputs = fold(backbone.top), inputs_of(backbone.top)
    np.testing.assert_array_equal(folded(inputs, training=True), folded(inputs, training=False))


def test_gradients_match_the_original(backbone):
    inputs, gradients = inputs_of(backbone.top), []
    variables = [variable.value for variable in backbone.top.trainable_variables]
    for model in (backbone.top, fold(backbone.top)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(inputs, training=False) ** 2)
        gradients.append(tape.gradient(loss, variables))
    for expected, gradient in zip(*gradients, strict=True):
        largest = np.abs(expected).max()
        np.testing.assert_allclose(gradient, expected, atol=1e-3 * largest + 1e-7)


def test_shares_trainable_variables_with_the_original(backbone):
    original, folded = backbone.top, fold(backbone.top)
    assert {id(v) for v in folded.trainable_variables} == {
        id(v) for v in original.trainable_variables
    }


def test_dtype_overrides_half_precision():
    config = TrainConfig.model_validate({'image_size': 32, 'alpha': 0.35, 'weights': 'random'})
    model = build_backbone(config, half_precision=True).model
    inputs = inputs_of(model)
    assert fold(model)(inputs).dtype == tf.float16
    assert fold(model, 'float32')(inputs).dtype == tf.float32


def test_no_boundary_separates_convolution_and_batch_norm(backbone):
    model = backbone.model
    layers = range(1, len(model.layers))
    cuts = {last_cut_before(model, layer) for layer in layers} - {0}
    norm = keras.layers.BatchNormalization
    assert len(cuts) > 40
    assert not any(isinstance(model.layers[cut + 1], norm) for cut in cuts)


@pytest.mark.parametrize('layer', ['Conv1_relu', 'block_16_expand_BN', 'out_relu'])
def test_folds_trunk_and_top(backbone, layer):
    model = backbone.model
    index = [each.name for each in model.layers].index(layer)
    boundary = model.layers[last_cut_before(model, index)].output
    for part in (keras.Model(model.input, boundary), keras.Model(boundary, model.output)):
        assert fold(part).output_shape == part.output_shape
