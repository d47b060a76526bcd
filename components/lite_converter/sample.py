"""Samples of a split: the images with the smallest SHA-256 digests.

A split may be sorted by class, so its first images are no sample. Digests depend neither on the
order nor on the classes, and a new image replaces at most one of a sample.
"""

import bisect
import hashlib
import itertools
from collections import defaultdict

import numpy as np
import tensorflow as tf

from common import features
from trainer.data.dataset import ImageSplit
from trainer.export.image_example import image_of

_BATCH = 64


def sample(
    split: ImageSplit, most: int, *, of_each_class: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Returns at most `most` images, uint8 [n, size, size, 3], and their labels, int64 [n].

    `of_each_class` takes equally many of each class, or all if it has fewer. Reads the split twice,
    and keeps only digests and the sample in memory.
    """
    smallest: dict[int, list[bytes]] = defaultdict(list)  # digests by class, at most `most` of each
    for record in split.read_records():
        digests = smallest[_label(record) if of_each_class else 0]
        bisect.insort(digests, _digest(record))
        del digests[most:]
    ranks = itertools.zip_longest(*(digests for _, digests in sorted(smallest.items())))
    chosen = set(itertools.islice((each for rank in ranks for each in rank if each), most))
    records = sorted(
        (each for each in split.read_records() if _digest(each) in chosen), key=_digest
    )
    batches = tf.data.Dataset.from_tensor_slices(records[:most]).batch(_BATCH).map(split.decode)
    images, labels = zip(*batches.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels).ravel().astype(np.int64)


def _digest(record: bytes) -> bytes:
    return hashlib.sha256(image_of(record)).digest()


def _label(record: bytes) -> int:
    example = tf.train.Example.FromString(record)
    return int(example.features.feature[features.LABEL].int64_list.value[0])
