"""Order, content and batches of the activation cache."""

import numpy as np
import pytest

from trainer.data.activation_cache import CachedTensors, CacheWriter, record_type


def write(directory, views=1, count=10, dtype='float16', shape=(2, 3)):
    """Writes tensors filled with the image number, plus 100 per view, labelled by parity."""
    record = record_type(dtype, shape)
    writer = CacheWriter(directory, views, record)
    for view in range(views):
        for start in range(0, count, 4):
            numbers = np.arange(start, min(start + 4, count))
            tensors = np.broadcast_to(numbers[:, None, None] + 100 * view, (len(numbers), *shape))
            writer.append(view, tensors, numbers % 2)
    return CachedTensors(writer.finish(), np.arange(count) % 2, record)


def first_values(batches):
    return [int(value) for tensors, _ in batches for value in tensors[:, 0, 0]]


@pytest.mark.parametrize('dtype', ['float16', 'uint8'])
def test_batches_return_tensors_and_labels_in_order(tmp_path, dtype):
    cache = write(tmp_path, views=2, dtype=dtype)
    tensors, labels = zip(*cache.batches(batch_size=4), strict=True)
    assert [tensor.shape.as_list() for tensor in tensors] == [[4, 2, 3], [4, 2, 3], [2, 2, 3]]
    assert np.concatenate(tensors)[:, 1, 2].tolist() == list(range(10))
    expected = [n % 2 for n in range(10)]
    assert np.concatenate(labels).ravel().tolist() == expected


def test_shuffled_order_depends_on_seed_and_epoch(tmp_path):
    cache = write(tmp_path)
    first, again, other = (
        first_values(cache.shuffled_batches(batch_size=5, epochs=2, seed=seed))
        for seed in (1, 1, 2)
    )
    assert sorted(first[:10]) == sorted(first[10:]) == list(range(10))
    assert first[:10] != first[10:]
    assert first == again != other


def test_epochs_read_the_files_in_turn(tmp_path):
    cache = write(tmp_path, views=2)
    batches = list(cache.shuffled_batches(batch_size=4, epochs=3, seed=0))
    assert [len(tensors) for tensors, _ in batches] == [4] * 6  # without incomplete batches
    views = [int(tensors[0, 0, 0]) // 100 for tensors, _ in batches]
    assert views == [0, 0, 1, 1, 0, 0]
    for tensors, labels in batches:
        assert (np.asarray(tensors)[:, 0, 0] % 2 == np.asarray(labels)[:, 0]).all()
