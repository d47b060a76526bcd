"""Optimizers of the stages: learning rate, weight decay, momentum and clipping."""

import keras
import numpy as np
import pytest

from trainer.config.train import StageConfig
from trainer.training.optimizer import make_optimizer


@pytest.mark.parametrize('name', ['adam', 'adamw', 'rmsprop', 'sgd'])
def test_weight_decay_leaves_out_biases(name):
    kernel, bias = weights = [keras.Variable([1.0], name=name) for name in ('kernel', 'bias')]
    stage = StageConfig(optimizer=name, learning_rate=0.1, weight_decay=0.5)
    optimizer = make_optimizer(stage, steps=10)
    optimizer.build(weights)
    optimizer.apply([np.float32([0.0])] * 2)
    assert [float(each[0]) for each in (kernel, bias)] == pytest.approx([0.95, 1])


@pytest.mark.parametrize(
    ('stage', 'name', 'value'),
    [
        ({'optimizer': 'sgd'}, 'momentum', 0.9),
        ({'optimizer': 'sgd', 'momentum': 0}, 'momentum', 0),
        ({'clip_norm': 2}, 'global_clipnorm', 2),
        # A number, which callbacks may change
        ({'schedule': 'constant'}, '_learning_rate', 1e-3),
        ({'schedule': 'plateau'}, '_learning_rate', 1e-3),
    ],
)
def test_optimizer_has_the_settings_of_the_stage(stage, name, value):
    assert float(getattr(make_optimizer(StageConfig(**stage), 1), name)) == pytest.approx(value)


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
