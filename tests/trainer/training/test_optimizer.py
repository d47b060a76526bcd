"""Optimizers of the stages: learning rate, weight decay, momentum and clipping."""

import keras
import numpy as np
import pytest

from trainer.config.train import StageConfig
from trainer.training.optimizer import make_optimizer


def step(gradient, **stage):
    """Returns the changes of a kernel and a bias, both 1, by one step."""
    weights = [keras.Variable([1.0], name=name) for name in ('kernel', 'bias')]
    optimizer = make_optimizer(StageConfig(**stage), steps=10)
    optimizer.build(weights)
    optimizer.apply([np.float32([gradient])] * 2)
    return [float(weight.numpy()[0]) - 1 for weight in weights]


@pytest.mark.parametrize('name', ['adam', 'adamw', 'rmsprop', 'sgd'])
def test_weight_decay_leaves_out_biases(name):
    kernel, bias = step(0.0, optimizer=name, learning_rate=0.1, weight_decay=0.5)
    assert kernel == pytest.approx(-0.05)
    assert bias == 0


def test_gradients_are_clipped_to_the_norm_of_all_weights():
    kernel, bias = step(3.0, optimizer='sgd', learning_rate=0.1, clip_norm=2**0.5)
    assert kernel == bias == pytest.approx(-0.1)


def test_sgd_has_momentum():
    assert make_optimizer(StageConfig(optimizer='sgd'), 1).momentum == 0.9
    assert make_optimizer(StageConfig(optimizer='sgd', momentum=0), 1).momentum == 0


@pytest.mark.parametrize(
    ('schedule', 'warmup', 'rates'),
    [
        ('cosine', 0, [0.1, 0.05, 0.0]),
        ('constant', 0.5, [0.0, 0.1, 0.1]),
        ('cosine', 0.5, [0.0, 0.1, 0.0]),
    ],
)
def test_learning_rate_at_start_middle_and_end(schedule, warmup, rates):
    stage = StageConfig(learning_rate=0.1, schedule=schedule, warmup=warmup)
    rate = make_optimizer(stage, steps=100)._learning_rate
    np.testing.assert_allclose([float(rate(step)) for step in (0, 50, 100)], rates, atol=1e-6)


@pytest.mark.parametrize('schedule', ['constant', 'plateau'])
def test_rate_that_callbacks_may_change_is_a_number(schedule):
    assert float(make_optimizer(StageConfig(schedule=schedule), 1).learning_rate) == pytest.approx(
        1e-3
    )
