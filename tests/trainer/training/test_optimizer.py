"""The fused optimizers match those of Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

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
    return [weight.numpy() for weight in weights]


@pytest.mark.parametrize('decay', [0.0, 0.1])
@pytest.mark.parametrize(
    ('name', 'reference'),
    [
        ('adam', keras.optimizers.Adam),
        ('rmsprop', keras.optimizers.RMSprop),
        ('sgd', keras.optimizers.SGD),
    ],
)
def test_updates_match_keras(name, reference, decay):
    stage = StageConfig(optimizer=name, learning_rate=0.05, weight_decay=decay)
    ours = descend(make_optimizer(stage, steps=5))
    expected = descend(reference(0.05, weight_decay=decay or None))
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_schedule_applies_to_each_step():
    stage = StageConfig(optimizer='sgd', learning_rate=0.1, schedule='cosine')
    ours = descend(make_optimizer(stage, steps=5))
    expected = descend(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 5)))
    np.testing.assert_allclose(ours[0], expected[0], rtol=1e-5)


@pytest.mark.parametrize(
    ('stage', 'rates'),
    [
        (StageConfig(learning_rate=0.1, schedule='cosine'), [0.1, 0.05, 0.0]),
        (StageConfig(learning_rate=0.1, warmup=0.5), [0.0, 0.1, 0.1]),
        (StageConfig(learning_rate=0.1, schedule='cosine', warmup=0.5), [0.0, 0.1, 0.0]),
    ],
)
def test_learning_rate_at_start_middle_and_end(stage, rates):
    rate = make_optimizer(stage, steps=100)._learning_rate
    np.testing.assert_allclose([float(rate(step)) for step in (0, 50, 100)], rates, atol=1e-6)
