"""Reading of records in an order that does not depend on that of the source."""

import numpy as np
import tensorflow as tf

from trainer.data.dataset import open_splits


def test_order_of_images_is_that_of_their_digests(small_job, tmp_path):
    """A source may be sorted by class, in any number of files."""
    job = small_job()
    split = job.splits['train']
    records = split.records(split.count)
    by_class = sorted(range(split.count), key=lambda n: (split.labels[n], records[n]))
    for number, part in enumerate(np.array_split(by_class, 3)):
        with tf.io.TFRecordWriter(str(tmp_path / f'records-{number}')) as writer:
            for index in part:
                writer.write(records[index])
    found = open_splits({'train': [f'{tmp_path}/*']}, job.transform)['train']
    assert found.records(split.count) == records
    batches = zip(found.batches(7), split.batches(7), strict=True)
    for (images, labels), (expected, expected_labels) in batches:
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(labels, expected_labels)
    mixed = np.concatenate([labels for _, labels in found.batches(8)]).ravel()
    np.testing.assert_array_equal(mixed, found.labels)
    assert np.diff(mixed[: split.count // 2]).astype(bool).sum() > 0
