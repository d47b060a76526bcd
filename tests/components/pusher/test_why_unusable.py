import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from common.features import SIGNATURE_EXAMPLES
from components.pusher.reference import why_unusable


class Doubling(tf.Module):
    def __init__(self, weight):
        self.weight = tf.Variable(np.full(8, weight, np.float32))

    @tf.function(input_signature=[tf.TensorSpec([8], tf.float32)])
    def predict(self, numbers):
        return {'probability': numbers * self.weight}


def save(folder, weight=2.0, signature=SIGNATURE_EXAMPLES):
    module = Doubling(weight)
    tf.saved_model.save(module, str(folder), signatures={signature: module.predict})
    return folder


def flip_bit(file):
    contents = bytearray(file.read_bytes())
    contents[3] ^= 1
    file.write_bytes(contents)


@pytest.fixture
def model(tmp_path):
    """Folder of a SavedModel."""
    return save(tmp_path / 'model')


@pytest.mark.parametrize(
    ('name', 'damage'),
    [
        ('', shutil.rmtree),
        ('saved_model.pb', os.remove),
        ('saved_model.pb', lambda file: os.truncate(file, 900)),
        ('variables/variables.index', os.remove),
        ('variables/variables.data-00000-of-00001', os.remove),
        ('variables/variables.data-00000-of-00001', flip_bit),
    ],
)
def test_detects_missing_or_damaged_file(model, name, damage):
    assert why_unusable(model) is None
    damage(model / name)
    assert f'{model} is missing or damaged (' in why_unusable(model)


def test_detects_empty_graph(model):
    os.truncate(model / 'saved_model.pb', 0)
    assert 'has no signature serving_default' in why_unusable(model)


def test_detects_missing_signature_and_nan_weights(tmp_path):
    other, nan = save(tmp_path / 'other', signature='other'), save(tmp_path / 'nan', weight=np.nan)
    assert 'no signature serving_default' in why_unusable(other)
    assert why_unusable(nan).endswith('are NaN or infinite')
