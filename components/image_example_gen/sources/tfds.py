"""Source for image data sets of TensorFlow Datasets."""

import contextlib
import dataclasses
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.groups import GroupConfig, group_of_name
from components.image_example_gen.sources.base.labels import Label, Labels, make_labels
from components.image_example_gen.sources.base.record_source import divide
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    Part,
    ranges,
)

_TIMEOUT = 10  # seconds to connect to the server of a data set
# A shard that begins inside a file skips all records before it; with this many shards, a file is
# read at most 4.5 times.
_MOST_SHARDS = 8
_FIRST = 20  # images of a split that show whether it has labels

_log = logging.getLogger(__name__)


class TfdsSource:
    """The images of a data set of TensorFlow Datasets, such as `cats_vs_dogs`.

    The data set is downloaded once, to the folder of TensorFlow Datasets (`TFDS_DATA_DIR`). Its
    splits train, validation and test are those of the pipeline.

    Raises:
        DataError: the data set is unknown, cannot be downloaded, or does not have images of two or
            more named classes.
    """

    counts = None

    def __init__(self, config: DataConfig, *, complete: bool = True) -> None:
        import tensorflow_datasets as tfds  # slow to import

        name = config.dataset
        try:
            builder = tfds.builder(name)
        except (tfds.core.DatasetNotFoundError, AssertionError, ImportError, ValueError) as error:
            raise DataError(f'TensorFlow Datasets has no data set {name!r}') from error
        features = dict(builder.info.features or {})
        names = getattr(features.get('label'), 'names', None)
        if not isinstance(features.get('image'), tfds.features.Image) or not names:
            raise DataError(f'data set {name!r} has no images with named classes')
        place = f'data set {name!r}'
        numbers: dict[Label, int] = dict.fromkeys(range(len(names)), 1)
        self._labels = make_labels(place, numbers, config.classes, dict(enumerate(names)))
        self.classes, self._group_by = self._labels.classes, config.group_by
        _download(builder, place)
        self._directory, self._splits = str(builder.data_dir), builder.info.splits
        shards = {split: self._shard(split, 0, _FIRST, None) for split in self._splits}
        seen: dict[str, Counter[Label]] = {
            split: Counter({shard.first_label(): self._splits[split].num_examples})
            for split, shard in shards.items()
        }
        self._parts, notes = divide(place, seen)
        self.count = sum(self._splits[split].num_examples for split in self._parts)
        self.fingerprint = builder.info.full_name
        self.notes = (*notes, *self._labels.notes)

    def shards(self) -> list['TfdsShard']:
        """Shards of about IMAGES_PER_SHARD images, none beyond one file."""
        shards = []
        for split, part in sorted(self._parts.items()):
            first = 0
            for length in self._splits[split].shard_lengths:
                for each in ranges(length, _MOST_SHARDS):
                    start, stop = first + each.start, first + each.stop
                    shards.append(self._shard(split, start, stop, part))
                first += length
        return shards

    def _shard(self, split: str, start: int, stop: int, part: Part | None) -> 'TfdsShard':
        place = self._directory, split, start, stop
        return TfdsShard(*place, part, self._labels, self._group_by)


@dataclasses.dataclass(frozen=True)
class TfdsShard:
    """The images from `start` to `stop` of a split, within one file."""

    directory: str  # of the prepared data set; reading does not need its builder
    split: str
    start: int
    stop: int
    part: Part | None
    labels: Labels
    group_by: GroupConfig | None

    def images(self) -> Iterator[LabelledImage | BadImage]:
        for number, record in enumerate(self._records(), self.start):
            name = record.get('image/filename', f'{self.split}/{number}'.encode())
            filename = name.decode(errors='surrogateescape')
            yield self.labels.to_image(
                record['image'],
                int(record['label']),
                filename,
                self.part,
                self.split,
                group_of_name(self.group_by, filename),
            )

    def first_label(self) -> int | None:
        """A label of these images, if they have any; it is -1 in splits without labels."""
        labels = (int(record['label']) for record in self._records())
        return next((label for label in labels if label >= 0), None)

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
            f'TensorFlow Datasets cannot download {name} ({type(error).__name__}); to use local '
            'images, give --data PATH (a folder per class, or Parquet), and --weights FILE if '
            'ImageNet weights cannot be downloaded either'
        ) from error
