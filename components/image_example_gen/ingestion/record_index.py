"""The index of records that were not ingested from images."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from common import features
from components.image_example_gen.ingestion.duplicates import IMAGE
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import GoodImage, examine_all

# Without limits: the images were checked when they were ingested.
_CHECKS = CheckConfig(min_side=1, max_megapixels=1e6, max_megabytes=1e6)


class _Recorded(NamedTuple):
    contents: bytes
    sha256: bytes  # digest of the original bytes; of the contents if the record has none
    label: int
    split: int


def index_records(folder: Path) -> np.ndarray:
    """The index of gzipped records in `Split-*` of a folder: IMAGE [n], without groups.

    The hashes are those of ingestion. An image that ingestion would reject has a perceptual hash of
    zeros, which is near to no other.
    """
    rows = [
        (
            list(each.sha256),
            list(good.perceptual_hash if isinstance(good, GoodImage) else bytes(32)),
            each.label,
            each.split,
            False,
            0,
        )
        for each, good in examine_all(((each, each.contents) for each in _read(folder)), _CHECKS)
    ]
    return np.array(rows, IMAGE)


def _read(folder: Path) -> Iterator[_Recorded]:
    for number, split in enumerate(features.SPLITS):
        files = sorted(str(file) for file in folder.glob(f'Split-{split}/*'))
        for record in tf.data.TFRecordDataset(files, 'GZIP').as_numpy_iterator():
            # The schema is checked later: a feature may be missing.
            values = tf.train.Example.FromString(record).features.feature
            contents = b''.join(values[features.IMAGE_BYTES].bytes_list.value)
            digest = b''.join(values[features.SHA256].bytes_list.value).decode()
            label = next(iter(values[features.LABEL].int64_list.value), 0)
            sha256 = bytes.fromhex(digest) or hashlib.sha256(contents).digest()
            yield _Recorded(contents, sha256, label, number)
