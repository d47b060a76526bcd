"""The optimizer of the plain script for small sets."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(scope='module')
def plain_small():
    path = Path(__file__).parents[2] / 'benchmarks' / 'plain_small.py'
    spec = importlib.util.spec_from_file_location('plain_small', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_one_cycle_rises_then_falls(plain_small):
    variable = keras.Variable([0.0])
    optimizer = plain_small.OneCycle(1e-2, steps=40, warmup=0.25, start=0.2)
    values = [0.0]
    for _ in range(40):  # equal gradients: Adam moves by about its rate
        optimizer.apply([keras.ops.ones([1])], [variable])
        values.append(variable.numpy()[0])
    rates = -np.diff(values)
    assert rates[0] == pytest.approx(2e-3, rel=0.2)
    assert 8 <= rates.argmax() <= 14
    assert rates.max() == pytest.approx(1e-2, rel=0.2)
    assert rates[-1] < 1e-3


def test_groups_of_variables_have_their_own_rates(plain_small):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2), keras.layers.Dense(2)])
    first, last = (layer.trainable_variables for layer in model.layers)
    before = [variables[0].numpy() for variables in (first, last)]
    train = tf.data.Dataset.from_tensors((np.ones((4, 1), 'float32'), np.array([0, 0, 0, 1])))
    plain_small.fit(model, {0.01: first, 1.0: last}, train, 2, rate=1e-2, warmup=0.5, start=0.5)
    moved = [
        np.abs(variables[0].numpy() - old).max()
        for variables, old in zip((first, last), before, strict=True)
    ]
    assert 0 < moved[0] < 0.05 * moved[1]
