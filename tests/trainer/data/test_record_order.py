"""Training does not depend on the order of the records of a source."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from trainer.data.dataset import open_splits


def rewritten(job, folder, files=2):
    """The splits of a job, with records sorted by class, and reversed ones, in several files."""
    orders = {}
    for order, step in (('sorted', 1), ('reversed', -1)):
        target = folder / order
        target.mkdir()
        for name, split in job.splits.items():
            records = split.records(split.count)
            by_class = sorted(range(len(records)), key=lambda n: (split.labels[n], records[n]))
            for number, part in enumerate(np.array_split(by_class[::step], files)):
                path = str(target / f'{name}-{number}')
                with tf.io.TFRecordWriter(path) as writer:
                    for index in part:
                        writer.write(records[index])
        patterns = {name: [f'{target}/{name}-*'] for name in job.splits}
        orders[order] = open_splits(patterns, job.transform)
    return orders


def test_order_of_images_is_that_of_their_digests(small_job, tmp_path):
    job = small_job()
    for splits in rewritten(job, tmp_path).values():
        for name, split in splits.items():
            assert split.records(split.count) == job.splits[name].records(split.count)
            np.testing.assert_array_equal(split.labels, job.splits[name].labels)
            labels = np.concatenate([labels for _, labels in split.batches(8)]).ravel()
            np.testing.assert_array_equal(labels, split.labels)


@pytest.mark.slow
def test_sorted_source_trains_like_any_other(small_job, run_job, tmp_path):
    job = small_job(augment={'flip': True}, fine_tune={'epochs': 0})
    losses = []
    for order, splits in rewritten(job, tmp_path).items():
        _, histories = run_job(dataclasses.replace(job, splits=splits), tmp_path / order)
        losses.append([history.metrics['loss'] for history in histories])
    np.testing.assert_allclose(*losses, rtol=1e-3)  # another order changes it by percents
