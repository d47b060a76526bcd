"""Source for image data sets of TensorFlow Datasets."""

import contextlib
import dataclasses
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from common.errors import DataError
from components.image_example_gen.sources.base.groups import GroupConfig, group_of_name
from components.image_example_gen.sources.base.labels import Labels, make_labels
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
)

_TIMEOUT = 10  # seconds to connect to the server of a data set
# A shard that begins inside a file skips all records before it; with this many shards, a file is
# read at most 4.5 times.
_SHARDS_PER_FILE = 8

_log = logging.getLogger(__name__)


class TfdsSource:
    """All splits of an image data set of TensorFlow Datasets, such as `cats_vs_dogs`.

    The data set is downloaded once, to the folder of TensorFlow Datasets (`TFDS_DATA_DIR`).

    Raises:
        DataError: the data set is unknown, cannot be downloaded, or does not have images of two or
            more named classes.
    """

    def __init__(
        self,
        name: str,
        classes: tuple[str, ...] | None = None,
        group_by: GroupConfig | None = None,
    ) -> None:
        import tensorflow_datasets as tfds  # slow to import

        try:
            builder = tfds.builder(name)
        except (tfds.core.DatasetNotFoundError, AssertionError, ImportError, ValueError) as error:
            raise DataError(f'TensorFlow Datasets has no data set {name!r}') from error
        features = dict(builder.info.features or {})
        names = getattr(features.get('label'), 'names', None)
        if not isinstance(features.get('image'), tfds.features.Image) or not names:
            raise DataError(f'data set {name!r} has no images with named classes')
        self._labels = make_labels(f'data set {name!r}', tuple(names), classes)
        self.classes, self._group_by = self._labels.classes, group_by
        _download(builder, name)
        self._directory, self._splits = str(builder.data_dir), builder.info.splits
        self.count = sum(split.num_examples for split in self._splits.values())
        self.fingerprint = builder.info.full_name

    def shards(self) -> list['TfdsShard']:
        return [
            TfdsShard(self._directory, str(split), start, stop, self._labels, self._group_by)
            for split in sorted(self._splits)
            for start, stop in _parts(self._splits[split].shard_lengths)
        ]


@dataclasses.dataclass(frozen=True)
class TfdsShard:
    """The images from `start` to `stop` of a split, within one file."""

    directory: str  # of the prepared data set; reading does not need its builder
    split: str
    start: int
    stop: int
    labels: Labels
    group_by: GroupConfig | None

    def images(self) -> Iterator[LabelledImage | BadImage]:
        for number, record in enumerate(self._records(), self.start):
            name = record.get('image/filename', f'{self.split}/{number}'.encode())
            image, label = record['image'], int(record['label'])
            filename = name.decode(errors='surrogateescape')
            group = group_of_name(self.group_by, filename)
            yield self.labels.to_image(image, label, filename, self.split, group)

    def _records(self) -> Iterator[dict[str, Any]]:
        import tensorflow as tf
        import tensorflow_datasets as tfds

        part = tfds.core.ReadInstruction(self.split, from_=self.start, to=self.stop, unit='abs')
        try:
            records = tfds.builder_from_directory(self.directory).as_dataset(
                split=part,
                decoders={'image': tfds.decode.SkipDecoding()},
                shuffle_files=False,
                # Autocaching would hold all images of a small data set in memory.
                read_config=tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1),
            )
            yield from records.as_numpy_iterator()
        except (OSError, tf.errors.OpError) as error:
            reason = str(error).strip().partition('\n')[0]
            place = f'{self.split}[{self.start}:{self.stop}] of {self.directory}'
            raise DataError(f'{place} cannot be read: {reason}') from error


def _parts(lengths: list[int]) -> Iterator[tuple[int, int]]:
    """Ranges of about IMAGES_PER_SHARD images of a split, none beyond one file."""
    first = 0
    for length in lengths:
        number = min(_SHARDS_PER_FILE, math.ceil(length / IMAGES_PER_SHARD))
        for n in range(number):
            yield first + length * n // number, first + length * (n + 1) // number
        first += length


def _download(builder: Any, name: str) -> None:
    try:
        if not builder.is_prepared():
            _log.info('downloading %s with TensorFlow Datasets ...', name)
            # Without a network, TensorFlow Datasets retries ten times and waits 200 s in between.
            urls = [url for url in builder.url_infos or () if url.startswith('http')]
            downloads = Path(builder.data_dir_root, 'downloads', builder.name)
            if urls and not any(downloads.glob('*.INFO')):
                with contextlib.suppress(requests.ReadTimeout):  # the server is slow
                    requests.head(urls[0], timeout=_TIMEOUT)
        builder.download_and_prepare()
    except Exception as error:  # of the network, the disk or the archive
        raise DataError(
            f'TensorFlow Datasets cannot download {name!r} ({type(error).__name__}); to use local '
            'images, give --data PATH (a folder per class, or Parquet), and --weights FILE if '
            'ImageNet weights cannot be downloaded either'
        ) from error
