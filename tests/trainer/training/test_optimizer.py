"""The fused optimizers match those of Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import optimizers

from trainer.config.train import StageConfig
from trainer.training.optimizer import make_optimizer


def descend(optimizer, steps=5):
    weights = [keras.Variable([1.0, -2.0]), keras.Variable([[3.0]])]
    optimizer.build(weights)

    @tf.function
    def step():
        gradients = [2 * tf.convert_to_tensor(weight) + 1 for weight in weights]
        optimizer.apply_gradients(zip(gradients, weights, strict=True))

    for _ in range(steps):
        step()
    return np.concatenate([weight.numpy().ravel() for weight in weights])


@pytest.mark.parametrize('decay', [0.0, 0.1])
@pytest.mark.parametrize('schedule', ['constant', 'cosine'])
@pytest.mark.parametrize('name', ['Adam', 'RMSprop', 'SGD'])
def test_updates_match_keras(name, schedule, decay):
    stage = StageConfig(
        optimizer=name.lower(), learning_rate=0.05, weight_decay=decay, schedule=schedule
    )
    rate = 0.05 if schedule == 'constant' else optimizers.schedules.CosineDecay(0.05, 5)
    expected = descend(getattr(optimizers, name)(rate, weight_decay=decay or None))
    # float32 with square roots, whose instructions differ between CPUs
    np.testing.assert_allclose(descend(make_optimizer(stage, steps=5)), expected, rtol=1e-4)


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
