import os
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from common.features import SIGNATURE_EXAMPLES
from components.pusher.model_compatibility import why_unusable


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
    ('name', 'damage', 'words'),
    [
        ('', shutil.rmtree, r'model does not exist$'),
        ('saved_model.pb', os.remove, r'saved_model.pb cannot be read: No such file or directory$'),
        ('saved_model.pb', lambda file: os.truncate(file, 900), r'saved_model.pb is damaged$'),
        ('saved_model.pb', lambda file: os.truncate(file, 0), r'pb has no signature serving_def'),
        ('variables/variables.index', os.remove, r'weights in \S+variables cannot be read \('),
        ('variables/variables.data-00000-of-00001', os.remove, r'variables cannot be read \('),
        ('variables/variables.data-00000-of-00001', flip_bit, r'variables cannot be read \('),
    ],
)
def test_detects_missing_or_damaged_file(model, name, damage, words):
    assert why_unusable(model) is None
    damage(model / name)
    assert re.search(words, why_unusable(model))


def test_detects_missing_signature_and_nan_weights(tmp_path):
    other, nan = save(tmp_path / 'other', signature='other'), save(tmp_path / 'nan', weight=np.nan)
    assert 'no signature serving_default' in why_unusable(other)
    assert why_unusable(nan).endswith('are NaN or infinite')
