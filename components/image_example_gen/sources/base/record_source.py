"""Base of sources whose files have many labelled images each: Parquet and TFRecords.

A limited process reads such a file: its reader allocates what the file asks for, and may crash.
"""

import copy
import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from common.errors import CallFailed, DataError, Rejected, TooFewImages
from components.image_example_gen.inspection.limited_process import Limits, call
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.groups import group_of_name
from components.image_example_gen.sources.base.labels import Label, Labels
from components.image_example_gen.sources.base.listing import fingerprint_of, local_files
from components.image_example_gen.sources.base.parts import (
    divide,
    kind_of,
    kind_of_value,
    sources_of_files,
)
from components.image_example_gen.sources.base.source_protocol import (
    LONGEST_TEXT,
    BadImage,
    LabelledImage,
    Part,
    is_class_name,
    ranges,
)

# Of a file: a shard begins to read at the start of the file, or of a row group, so that with this
# many a file is read at most 4.5 times.
_MOST_SHARDS = 8
_MOST_MEGABYTES = 900  # of memory; Parquet files of large images have pages of some 100 MB


class Record(NamedTuple):
    """One image of a file, with values of its columns or features."""

    image: bytes | Rejected  # empty if only labels are read
    path: str
    label: Label
    split: str = ''  # a part, another value of the column `split`, or ''
    group: str | None = None


# Yields the records of a file with these numbers; None: all of them, perhaps without the images.
Reader = Callable[[Path, DataConfig, range | None], Iterator[Record]]


@dataclasses.dataclass(frozen=True)
class RecordShard:
    """Consecutive records of a file."""

    file: Path
    name: str  # relative path
    read: Reader
    numbers: range
    labels: Labels
    parts: Mapping[str, Part | None]  # by the name of a part; images of other parts are not used
    config: DataConfig
    source: str

    def images(self) -> Iterator[LabelledImage | BadImage]:
        return _call(self.file, _images, self)


class RecordSource:
    """Base of ParquetSource and TfrecordSource: a file, or all files in a folder at any depth.

    The user's own division into parts is that of `split` or of the names of files and folders.

    Raises:
        DataError: a file is missing or damaged or lacks a column, or there are no images or fewer
            than two classes.
    """

    suffixes: ClassVar[str]  # description of the names of files
    is_used: Callable[[str], bool]  # whether a file in a folder has records, by its name
    read: Reader  # runs in a limited process

    def __init__(self, config: DataConfig, *, complete: bool = True) -> None:
        path = config.path
        assert path is not None  # `make_source` has checked it
        if not path.exists():
            raise DataError(f'{path} does not exist; give a folder or a file {self.suffixes}')
        listed = local_files(path, self.is_used)
        if not listed:
            raise TooFewImages(f'data folder {path} has no files {self.suffixes}')
        self._config, self.fingerprint = config, fingerprint_of(listed)
        self._folder = (path if path.is_dir() else path.parent).absolute()
        self._files: dict[str, Counter[tuple[str, Label]]] = {}  # images by name of part and label
        for name in (file.name for file in listed):
            file = self._folder / name
            (self._files[name],) = _call(file, _count, self.read, file, name, config)
        seen = sum(self._files.values(), Counter())
        self._labels, self._parts, self.notes = divide(
            str(path), seen, config.classes, complete=complete
        )
        self.count = sum(seen[key] for key in seen if key[0] in self._parts)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the labels."""
        return self._labels.classes

    @property
    def counts(self) -> Counter[str]:
        """Number of images of each class."""
        return self._labels.counts

    def with_classes(
        self, classes: Sequence[str], new: Mapping[str, str] | None = None
    ) -> 'RecordSource':
        """A copy with other classes, in the order of the labels, and new names of some."""
        other = copy.copy(self)
        other._labels = self._labels.with_classes(classes, new)
        return other

    def shards(self) -> list[RecordShard]:
        """The ranges of records of all files that have images of parts that are used."""
        others = self._labels, self._parts, self._config
        sources = sources_of_files({name: seen.total() for name, seen in self._files.items()})
        return [
            RecordShard(self._folder / name, name, self.read, numbers, *others, sources[name])
            for name, seen in self._files.items()
            if any(part in self._parts for part, _ in seen)
            for numbers in ranges(seen.total(), _MOST_SHARDS)
        ]


def _call(file: Path, function: Callable[..., Iterator[Any]], *args: object) -> Iterator[Any]:
    """Yields the results of a function about a file, which runs in a limited process.

    Raises DataError if it raises an error, or needs more memory or time than it may.
    """
    seconds, megabytes = Limits.for_file(file)
    try:
        yield from call(Limits(seconds, min(megabytes, _MOST_MEGABYTES)), function, *args)
    except CallFailed as error:
        raise DataError(f'{file} cannot be read: {error}') from None


def _count(
    read: Reader, file: Path, name: str, config: DataConfig
) -> Iterator[Counter[tuple[str, Label]]]:
    """Yields the number of images by name of part and label."""
    seen: Counter[tuple[str, Label]] = Counter()
    problem = None
    for record in read(file, config, None):
        seen[record.split or _part_of_file(name), record.label] += 1
        problem = record.image if isinstance(record.image, Rejected) else problem
    if problem and not any(label is not None for _, label in seen):
        raise DataError(f'{file} has no image that can be used: of the last one, {problem.detail}')
    yield seen


def _images(shard: RecordShard) -> Iterator[LabelledImage | BadImage]:
    records = shard.read(shard.file, shard.config, shard.numbers)
    for number, record in itertools.zip_longest(shard.numbers, records):
        if record is None:
            raise DataError(f'{shard.file} changed while it was read: it has fewer records')
        place = f'{shard.name}:{number}' + (f' ({record.path})' if record.path else '')
        part = record.split or _part_of_file(shard.name)
        if part not in shard.parts:
            continue
        if isinstance(record.image, Rejected):
            yield BadImage(place, record.image.reason, record.image.detail)
        else:
            group = record.group or group_of_name(shard.config.group_by, record.path)
            others = record.label, place, shard.parts[part], shard.source, group
            yield shard.labels.to_image(record.image, *others)


def _part_of_file(name: str) -> str:
    """The part that a file or a folder is called after; `Split-train` is one of ExampleGen."""
    return kind_of(name.replace('Split-', '')) or ''


def as_label(value: object) -> Label:
    """The label of a value of a file; None for one that is missing or cannot be a name."""
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return text if is_class_name(text := as_text(value)) else None


def as_text(value: object) -> str:
    """The text of a value of a file; empty for none, cut at LONGEST_TEXT."""
    if isinstance(value, bytes):
        return value[:LONGEST_TEXT].decode(errors='surrogateescape')
    return '' if value is None else str(value)[:LONGEST_TEXT]


def part_of(column: str, value: object) -> str:
    """The part that a value of a column means; the value itself if it means none."""
    return kind_of_value(column, as_text(value)) or as_text(value)
