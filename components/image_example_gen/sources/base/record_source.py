"""Base of sources whose files have many labelled images each: Parquet and TFRecords.

A limited process reads such a file: its reader allocates what the file asks for, and may crash.
"""

import copy
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

from common.errors import CallFailed, DataError, Rejected, TooFewImages
from common.files import MEGABYTE
from components.image_example_gen.inspection import limited_process
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.groups import group_of_name
from components.image_example_gen.sources.base.labels import Label, Labels, make_labels
from components.image_example_gen.sources.base.listing import fingerprint_of, local_files
from components.image_example_gen.sources.base.parts import (
    kind_of,
    kind_of_value,
    parts_of,
    sources_of_files,
)
from components.image_example_gen.sources.base.source_protocol import (
    LONGEST_TEXT,
    BadImage,
    LabelledImage,
    Part,
    is_class_name,
)

_MOST_LABELS = 100_000  # different ones in a file
_MOST_MEGABYTES = 900  # of memory; Parquet files of large images have pages of some 100 MB
_Answer = TypeVar('_Answer')


class Record(NamedTuple):
    """One image of a file, with values of its columns or features."""

    image: bytes
    label: Label
    path: str
    split: str  # a part, another value of the column `split`, or ''
    group: str | None


@dataclasses.dataclass(frozen=True)
class RecordFile:
    """What the first reading of a file finds."""

    file: Path
    name: str  # relative path
    seen: Counter[tuple[str, Label]]  # images by the values of `split` and label
    names: Mapping[int, str]  # of label numbers, as far as the file has them
    ranges: tuple[range, ...]  # of numbers of records, one for each shard

    def read(self, numbers: range, config: DataConfig) -> Iterator[Record | Rejected]:
        """Yields the records with these numbers."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class RecordShard:
    """Consecutive records of a file."""

    file: RecordFile
    numbers: range
    labels: Labels
    parts: Mapping[str, Part | None]  # by the name of a part; images of other parts are not used
    part: str  # the name of the part of the file, for images without a value of `split`
    source: str
    config: DataConfig

    def images(self) -> Iterator[LabelledImage | BadImage]:
        return call(self.file.file, _images, self)


def _images(shard: RecordShard) -> Iterator[LabelledImage | BadImage]:
    records = shard.file.read(shard.numbers, shard.config)
    for number, record in zip(shard.numbers, records, strict=True):
        place = f'{shard.file.name}:{number}'
        if isinstance(record, Rejected):
            yield BadImage(place, record.reason, record.detail)
        elif (name := record.split or shard.part) in shard.parts:
            group = record.group or group_of_name(shard.config.group_by, record.path)
            place = f'{place} ({record.path})' if record.path else place
            others = shard.parts[name], shard.source, group
            yield shard.labels.to_image(record.image, record.label, place, *others)


class RecordSource:
    """Base of ParquetSource and TfrecordSource: a file, or all files in a folder at any depth.

    The user's own division into parts is that of `split` or of the names of files and folders.

    Raises:
        DataError: a file is missing or damaged or lacks a column, label numbers have several names,
            or there are no images or fewer than two classes.
    """

    suffixes: ClassVar[str]  # description of the names of files
    is_used: Callable[[str], bool]  # whether a file in a folder has records, by its name
    scan: Callable[[Path, str, DataConfig], Iterator[RecordFile]]  # runs in a limited process

    def __init__(self, config: DataConfig, *, complete: bool = True) -> None:
        path = config.path
        assert path is not None  # `make_source` has checked it
        if not path.exists():
            raise DataError(f'{path} does not exist; give a folder or a file {self.suffixes}')
        listed = local_files(path, self.is_used)
        if not listed:
            raise TooFewImages(f'data folder {path} has no files {self.suffixes}')
        self.fingerprint = fingerprint_of(listed)
        folder = (path if path.is_dir() else path.parent).absolute()
        self._files = [
            found
            for file in listed
            for found in call(folder / file.name, self.scan, folder / file.name, file.name, config)
        ]
        seen: dict[str, Counter[Label]] = {}
        for file in self._files:
            for (split, label), count in file.seen.items():
                seen.setdefault(split or _part_of_file(file.name), Counter())[label] += count
        self._parts, left_out = divide(str(path), seen)
        labels = sum((seen[name] for name in self._parts), Counter())
        if not labels:
            raise TooFewImages(f'{path} has no images with a label')
        names = _names_of_numbers(path, self._files)
        self._config, self.count = config, labels.total()
        self._set(make_labels(path, labels, config.classes, names, complete=complete))
        self.notes = (*left_out, *self._labels.notes, *self._missing(seen))

    def shards(self) -> list[RecordShard]:
        """The ranges of records of all files that have images of parts that are used."""
        sources = sources_of_files((file.name, file.seen.total()) for file in self._files)
        shards = []
        for file in self._files:
            part = _part_of_file(file.name)
            if any((split or part) in self._parts for split, _ in file.seen):
                others = self._labels, self._parts, part, sources[file.name], self._config
                shards += [RecordShard(file, numbers, *others) for numbers in file.ranges]
        return shards

    def with_classes(
        self, classes: Sequence[str], new: Mapping[str, str] | None = None
    ) -> 'RecordSource':
        """A copy with other classes, in the order of the labels, and new names of some."""
        other = copy.copy(self)
        other._set(self._labels.with_classes(classes, new))
        return other

    def _set(self, labels: Labels) -> None:
        self._labels, self.classes, self.counts = labels, labels.classes, labels.counts

    def _missing(self, seen: Mapping[str, Counter[Label]]) -> Iterator[str]:
        for name, part in self._parts.items():
            found = {self._labels.index(label) for label in seen[name]}
            missing = [each for number, each in enumerate(self.classes) if number not in found]
            if part and missing:
                yield f'{name} has no images of {len(missing)} classes, such as {missing[0]!r}'


def call(
    file: Path, function: Callable[..., Iterator[_Answer]], *args: object
) -> Iterator[_Answer]:
    """Yields the results of a function about a file, which runs in a limited process.

    Raises DataError if it raises an error, or needs more memory or time than it may.
    """
    size = file.stat().st_size // MEGABYTE if file.exists() else 0
    limits = limited_process.Limits(60 + size, min(400 + 4 * size, _MOST_MEGABYTES))
    try:
        yield from limited_process.call(limits, function, *args)
    except CallFailed as error:
        raise DataError(f'{file} cannot be read: {error}') from None


def count_labels(file: Path, images: Iterable[tuple[str, Label]]) -> Counter[tuple[str, Label]]:
    """Counts images by split and label; raises DataError if there are very many labels."""
    seen: Counter[tuple[str, Label]] = Counter()
    for image in images:
        seen[image] += 1
        if len(seen) > _MOST_LABELS:
            raise DataError(f'{file} has more than {_MOST_LABELS:,} labels; are they identifiers?')
    return seen


def as_label(value: object) -> Label:
    """The label of a value of a file; None for one that is missing or cannot be a name."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return int(value) if value.is_integer() else None if value != value else str(value)
    if isinstance(value, int):
        return value
    return text if is_class_name(text := as_text(value)) else None


def as_text(value: object) -> str:
    """The text of a value of a file; empty for none, cut at LONGEST_TEXT bytes."""
    if isinstance(value, bytes):
        return value[:LONGEST_TEXT].decode(errors='surrogateescape')
    return '' if value is None else str(value)


def part_of(column: str, value: object) -> str:
    """The part that a value of a column means; the value itself if it means none."""
    return kind_of_value(column, as_text(value)) or as_text(value)


def _part_of_file(name: str) -> str:
    """The part that a file or a folder is called after; `Split-train` is one of ExampleGen."""
    return kind_of(name.replace('Split-', '')) or ''


def divide(
    where: str, seen: Mapping[str, Counter[Label]]
) -> tuple[dict[str, Part | None], list[str]]:
    """The parts that are used by their names, None if the source is not divided, and notes.

    `seen` has the images of each name by label. A part without any label is left out; so is, if
    the others are parts, a name that is none.
    """
    labelled = [name for name, labels in seen.items() if not labels.keys() <= {None, -1}]
    parts = parts_of(where, labelled)
    used: dict[str, Part | None] = {
        name: parts.get(name) for name in labelled if not parts or name in parts
    }
    notes = []
    for name in sorted(seen.keys() - used.keys()):
        reason = 'neither train, validation nor test' if name in labelled else 'without labels'
        notes.append(
            f'{seen[name].total():,} images of {name or "other files"}: left out, {reason}'
        )
    return used, notes


def _names_of_numbers(path: Path, files: Iterable[RecordFile]) -> dict[int, str]:
    names: dict[int, str] = {}
    for file in files:
        for number, name in file.names.items():
            if names.setdefault(number, name) != name:
                raise DataError(
                    f'{path}: label {number} is {names[number]!r} in one file, and {name!r} in '
                    f'{file.name}; give files with the same classes in the same order'
                )
    return names
