"""Reading of the records of a split."""

import shutil

import numpy as np
import tensorflow as tf

from trainer.data.dataset import open_splits


def test_reads_images_labels_and_spans_in_the_order_of_the_files(small_job, tmp_path):
    job = small_job()
    first = [*job.splits['train'].tables]
    new = tmp_path / 'span-2' / 'train-0'
    new.parent.mkdir()
    shutil.copy(first[1], new)

    split = open_splits({'train': [*map(str, first), str(new)]}, job.transform)['train']

    images, labels = map(np.concatenate, zip(*split.batches(7).as_numpy_iterator(), strict=True))
    assert (split.count, len(images)) == (72, 72)
    np.testing.assert_array_equal(labels.ravel(), split.labels)
    assert (images.mean(axis=(1, 2, 3)) > 125).tolist() == split.labels.astype(bool).tolist()
    assert sorted(each.count for each in split.spans()) == [24, 48]
    assert len({each.key for each in split.spans()}) == 2
    records = split.records(5)
    assert split.decode(tf.constant(records)).shape == (5, 32, 32, 3)
    assert len(split.records(100)) == 72
