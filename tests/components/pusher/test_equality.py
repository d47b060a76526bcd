import pytest
import tensorflow as tf

from components.pusher.equality import is_same
from components.pusher.model_files import files_of


@pytest.fixture
def save(tmp_path):
    """Saves a model with a weight, and a threshold in a function."""

    def save(name, weight=0.5, threshold=0.5):
        model = tf.Module()
        model.weight = tf.Variable(weight)

        def answer(x):
            return {'class': tf.cast(x * model.weight > threshold, tf.int32)}

        signature = [tf.TensorSpec([None], tf.float32)]
        model.answer = tf.function(answer, input_signature=signature, autograph=False)
        tf.saved_model.save(model, str(tmp_path / name), signatures={'serve': model.answer})
        return files_of(tmp_path / name)

    return save


def test_model_saved_again_is_equal(save):
    first, second = save('first'), save('second')
    assert first['saved_model.pb'].read_bytes() != second['saved_model.pb'].read_bytes()
    assert is_same(first, second)


@pytest.mark.parametrize('change', [{'weight': 0.6}, {'threshold': 0.6}])
def test_detects_changed_weight_or_constant(save, change):
    assert not is_same(save('first'), save('second', **change))


def test_detects_additional_file(save, tmp_path):
    first, second = save('first'), save('second')
    (tmp_path / 'labels').write_text('')
    assert not is_same(first, {**second, 'assets/labels': tmp_path / 'labels'})
