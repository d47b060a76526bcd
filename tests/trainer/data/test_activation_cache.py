"""What is written to the cache comes back, in the order that was asked for."""

import numpy as np
import pytest

from trainer.data.activation_cache import CacheWriter


def write(directory, views=1, count=10, dtype='float16', shape=(2, 3)):
    writer = CacheWriter(directory, 'train', views, dtype)
    for view in range(views):
        for start in range(0, count, 4):
            numbers = np.arange(start, min(start + 4, count))
            tensors = np.broadcast_to(numbers[:, None, None] + 100 * view, (len(numbers), *shape))
            writer.append(view, tensors, numbers % 2)
    return writer.finish()


def first_values(batches):
    return [int(value) for tensors, _ in batches for value in tensors[:, 0, 0]]


@pytest.mark.parametrize('dtype', ['float16', 'uint8'])
def test_in_order_it_gives_back_what_was_written(tmp_path, dtype):
    cache = write(tmp_path, dtype=dtype)
    tensors, labels = zip(*cache.batches(batch_size=4), strict=True)
    assert [tensor.shape.as_list() for tensor in tensors] == [[4, 2, 3], [4, 2, 3], [2, 2, 3]]
    assert np.concatenate(tensors)[:, 1, 2].tolist() == list(range(10))
    assert np.concatenate(labels).ravel().tolist() == [n % 2 for n in range(10)]


def test_shuffling_gives_every_image_once_per_epoch_and_a_new_order_each_time(tmp_path):
    values = first_values(write(tmp_path).shuffled_batches(batch_size=5, epochs=2, seed=1))
    assert sorted(values[:10]) == sorted(values[10:]) == list(range(10))
    assert values[:10] != values[10:]


def test_the_same_seed_gives_the_same_order(tmp_path):
    cache = write(tmp_path)
    orders = [first_values(cache.shuffled_batches(5, 2, seed)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_epochs_take_the_views_in_turn(tmp_path):
    cache = write(tmp_path, views=2)
    values = first_values(cache.shuffled_batches(batch_size=10, epochs=3, seed=0))
    assert [max(values[start : start + 10]) // 100 for start in (0, 10, 20)] == [0, 1, 0]


def test_labels_stay_with_their_tensors(tmp_path):
    for tensors, labels in write(tmp_path).shuffled_batches(batch_size=5, epochs=1, seed=0):
        assert (np.asarray(tensors)[:, 0, 0] % 2 == np.asarray(labels)[:, 0]).all()


def test_what_does_not_fill_a_batch_is_left_for_another_epoch(tmp_path):
    batches = list(write(tmp_path).shuffled_batches(batch_size=4, epochs=1, seed=0))
    assert [len(tensors) for tensors, _ in batches] == [4, 4]
