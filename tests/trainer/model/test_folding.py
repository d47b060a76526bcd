"""Folded batch norm gives the numbers and the gradients of the original, over its variables."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.model.backbone import Backbone, build_backbone, last_cut_before
from trainer.model.folding import fold


@pytest.fixture(scope='module')
def backbone() -> Backbone:
    """With statistics as after some training: at their start they would hide mistakes."""
    config = {
        'image_size': 32,
        'alpha': 0.35,
        'weights': 'random',
        'fine_tune': {'epochs': 1, 'from_layer': 'block_14_expand'},
    }
    backbone = build_backbone(TrainConfig.model_validate(config))
    backbone.unfreeze_upper()
    random = np.random.default_rng(0)
    for layer in backbone.whole.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            start = [random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()]
            layer.set_weights(start)
    return backbone


def inputs_of(model):
    shape = (2, *model.input_shape[1:])
    return np.random.default_rng(1).uniform(-1, 1, shape).astype('float32')


@pytest.mark.parametrize('part', ['whole', 'trunk', 'top'])
def test_it_gives_the_same_numbers(backbone, part):
    model = getattr(backbone, part)
    inputs = inputs_of(model)
    expected = model(inputs, training=False).numpy()
    assert expected.std() > 0
    np.testing.assert_allclose(fold(model)(inputs), expected, rtol=1e-3, atol=1e-4)


def test_it_gives_the_same_numbers_while_training(backbone):
    folded, inputs = fold(backbone.top), inputs_of(backbone.top)
    np.testing.assert_array_equal(folded(inputs, training=True), folded(inputs, training=False))


def test_it_gives_the_same_gradients(backbone):
    inputs, gradients = inputs_of(backbone.top), []
    variables = [variable.value for variable in backbone.top.trainable_variables]
    for model in (backbone.top, fold(backbone.top)):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(inputs, training=False) ** 2)
        gradients.append(tape.gradient(loss, variables))
    for expected, gradient in zip(*gradients, strict=True):
        largest = np.abs(expected).max()
        np.testing.assert_allclose(gradient, expected, atol=1e-3 * largest + 1e-7)


def test_it_trains_the_variables_of_the_original(backbone):
    original, folded = backbone.top, fold(backbone.top)
    assert {id(v) for v in folded.trainable_variables} == {
        id(v) for v in original.trainable_variables
    }


def test_it_computes_in_float32_where_that_is_asked_for():
    config = TrainConfig.model_validate({'image_size': 32, 'alpha': 0.35, 'weights': 'random'})
    whole = build_backbone(config, half_precision=True).whole
    inputs = inputs_of(whole)
    assert fold(whole)(inputs).dtype == tf.float16
    assert fold(whole, 'float32')(inputs).dtype == tf.float32


def test_wherever_fine_tuning_begins_a_convolution_keeps_its_batch_norm(backbone):
    whole = backbone.whole
    layers = range(1, len(whole.layers))
    cuts = {last_cut_before(whole, layer) for layer in layers} - {0}
    norm = keras.layers.BatchNormalization
    assert len(cuts) > 40
    assert not any(isinstance(whole.layers[cut + 1], norm) for cut in cuts)


@pytest.mark.parametrize('layer', ['Conv1_relu', 'block_16_expand_BN', 'out_relu'])
def test_both_parts_can_be_folded(backbone, layer):
    whole = backbone.whole
    number = [each.name for each in whole.layers].index(layer)
    boundary = whole.layers[last_cut_before(whole, number)].output
    for part in (keras.Model(whole.input, boundary), keras.Model(boundary, whole.output)):
        assert fold(part).output_shape == part.output_shape
