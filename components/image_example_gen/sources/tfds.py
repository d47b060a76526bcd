"""Images of a TensorFlow Datasets data set."""

import dataclasses
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from common.errors import DataError
from components.image_example_gen.sources.base.labels import Labels, make_labels
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
)

_PATIENCE = 10  # seconds for a server to answer
# Where a shard begins in the middle of a file, what is before it is passed over: with this many
# the file is read four and a half times at most.
_SHARDS_PER_FILE = 8

_log = logging.getLogger(__name__)


class TfdsSource:
    """An image classification set of TensorFlow Datasets; all its splits together.

    It is downloaded once, to where TensorFlow Datasets keeps its data (`TFDS_DATA_DIR`).

    Args:
        name: of the set, such as `cats_vs_dogs`.
        classes: some of the set's classes in another order, or other names for them; None: those
            of the set.

    Raises:
        DataError: there is no such set, it cannot be fetched, or it is not one of images with
            two classes or more.
    """

    def __init__(self, name: str, classes: tuple[str, ...] | None = None) -> None:
        import tensorflow_datasets as tfds  # slow, and only this source needs it

        try:
            builder = tfds.builder(name)
        except (tfds.core.DatasetNotFoundError, AssertionError, ImportError, ValueError) as error:
            raise DataError(f'TensorFlow Datasets has no data set {name!r}') from error
        features = dict(builder.info.features or {})
        image, label = (features.get(key) for key in ('image', 'label'))
        names = getattr(label, 'names', None)
        if not isinstance(image, tfds.features.Image) or not names:
            raise DataError(f'data set {name!r} is not an image set with named classes')
        self._labels = make_labels(f'data set {name!r}', tuple(names), classes)
        self.classes = self._labels.classes
        _fetch(builder, name)
        self._directory, self._splits = str(builder.data_dir), builder.info.splits
        self.count = sum(split.num_examples for split in self._splits.values())
        self.fingerprint = builder.info.full_name

    def shards(self) -> list['TfdsShard']:
        return [
            TfdsShard(self._directory, str(split), start, stop, self._labels)
            for split in sorted(self._splits)
            for start, stop in _parts(self._splits[split].shard_lengths)
        ]


@dataclasses.dataclass(frozen=True)
class TfdsShard:
    """A part of a split that lies in one file.

    Attributes:
        directory: of the prepared set, which is opened there without the code that made it.
        split: its name.
        start: the first image.
        stop: the one after the last.
        labels: of the source.
    """

    directory: str
    split: str
    start: int
    stop: int
    labels: Labels

    def images(self) -> Iterator[LabelledImage | BadImage]:
        for number, record in enumerate(self._records(), self.start):
            name = record.get('image/filename', f'{self.split}/{number}'.encode())
            filename = name.decode(errors='surrogateescape')
            contents, label = record['image'], int(record['label'])
            index = self.labels.index(label)
            if index is None:
                detail = self.labels.outside(label)
                yield BadImage(filename, 'label outside the list', detail, contents)
            else:
                yield LabelledImage(contents, index, filename, source=self.split)

    def _records(self) -> Iterator[dict[str, Any]]:
        import tensorflow as tf
        import tensorflow_datasets as tfds

        part = tfds.core.ReadInstruction(self.split, from_=self.start, to=self.stop, unit='abs')
        try:
            records = tfds.builder_from_directory(self.directory).as_dataset(
                split=part,
                decoders={'image': tfds.decode.SkipDecoding()},
                shuffle_files=False,
                # Of a small set it would keep all images in memory, to read them once.
                read_config=tfds.ReadConfig(try_autocache=False, interleave_cycle_length=1),
            )
            yield from records.as_numpy_iterator()
        except (OSError, tf.errors.OpError) as error:
            reason = str(error).strip().partition('\n')[0]
            place = f'{self.split}[{self.start}:{self.stop}] of {self.directory}'
            raise DataError(f'{place} cannot be read: {reason}') from error


def _parts(lengths: list[int]) -> Iterator[tuple[int, int]]:
    """The images of a split, file by file, in even parts of about IMAGES_PER_SHARD."""
    first = 0
    for length in lengths:
        number = min(_SHARDS_PER_FILE, math.ceil(length / IMAGES_PER_SHARD))
        for n in range(number):
            yield first + length * n // number, first + length * (n + 1) // number
        first += length


def _fetch(builder: Any, name: str) -> None:
    try:
        if not builder.is_prepared():
            _log.info('fetching %s with TensorFlow Datasets ...', name)
            _require_connection(builder)
        builder.download_and_prepare()
    except Exception as error:  # whatever the network, the disk or the archive may raise
        raise DataError(
            f'TensorFlow Datasets could not fetch {name!r} ({type(error).__name__}); '
            'with images of your own give --data PATH (a folder per class, or Parquet), '
            'and --weights FILE if ImageNet weights are not at hand either'
        ) from error


def _require_connection(builder: Any) -> None:
    """Without a network TensorFlow Datasets tries ten times and waits for 200 s in between.

    Raises:
        requests.ConnectionError: none of the servers of the set can be reached, and none of its
            files was downloaded before.
    """
    downloads = Path(builder.data_dir_root, 'downloads')
    notes = [*downloads.glob('*.INFO'), *downloads.glob('*/*.INFO')]  # next to each file
    downloaded = ''.join(note.read_text() for note in notes)
    urls = [url for url in builder.url_infos or () if url.startswith('http')]
    if not urls or any(url in downloaded for url in urls):
        return
    for url in {urlsplit(url).netloc: url for url in urls}.values():
        try:
            requests.head(url, timeout=_PATIENCE)
        except requests.ConnectionError as error:
            unreachable = error
        except requests.RequestException:  # answers, but not to this
            return
        else:
            return
    raise unreachable
