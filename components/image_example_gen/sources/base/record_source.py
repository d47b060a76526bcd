"""Base of sources whose files have many labelled images each: Parquet and TFRecords.

A limited process reads such a file: its reader allocates what the file asks for, and may crash.
"""

import copy
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from common.errors import CallFailed, DataError, TooFewImages
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
_Answer = TypeVar('_Answer')


@dataclasses.dataclass(frozen=True)
class RecordFile:
    """What the first reading of a file finds."""

    file: Path
    name: str  # relative path
    seen: Counter[tuple[str, Label]]  # images by the value of their column `split`, and label
    names: Mapping[int, str]  # of label numbers, as far as the file has them


_File = TypeVar('_File', bound=RecordFile)


@dataclasses.dataclass(frozen=True)
class Reading:
    """How the images of a file become labelled images; a part of a shard."""

    labels: Labels
    parts: Mapping[str, Part | None]  # by the name of a part; images of other parts are not used
    part: str  # the name of the part of the file, for images without a value of their own
    source: str
    config: DataConfig

    def is_used(self, split: str) -> bool:
        """Whether images with this value of the column `split` are used."""
        return (split or self.part) in self.parts

    def to_image(
        self, place: str, contents: bytes, label: Label, path: str, split: str, group: str | None
    ) -> LabelledImage | BadImage:
        """Labels an image of a file; `place` is its place there, `path` its file name or ''."""
        group = group or group_of_name(self.config.group_by, path)
        name, part = f'{place} ({path})' if path else place, self.parts[split or self.part]
        return self.labels.to_image(contents, label, name, part, self.source, group)


class RecordSource(Generic[_File]):
    """Base of ParquetSource and TfrecordSource.

    Args:
        config: the keys of the source.
        suffixes: a description of the names of files, for an error.
        is_used: whether a file in the folder has records, by its name.
        read: reads a file in a limited process, given its path, relative path and the config.
        complete: False for one span of several, which may lack classes.

    Raises:
        DataError: a file is missing or damaged or lacks a column, label numbers have several names,
            or there are no images or fewer than two classes.
    """

    def __init__(
        self,
        config: DataConfig,
        suffixes: str,
        is_used: Callable[[str], bool],
        read: Callable[[Path, str, DataConfig], Iterator[_File]],
        *,
        complete: bool,
    ) -> None:
        path = config.path
        assert path is not None  # `open_source` has checked it
        if not path.exists():
            raise DataError(f'{path} does not exist; give a file called {suffixes}, or a folder')
        listed = local_files(path, is_used)
        if not listed:
            raise TooFewImages(f'data folder {path} has no files called {suffixes}')
        self.fingerprint = fingerprint_of(listed)
        folder = (path if path.is_dir() else path.parent).absolute()
        self._files = [
            found
            for file in listed
            for found in call(folder / file.name, read, folder / file.name, file.name, config)
        ]
        seen: dict[str, Counter[Label]] = {}
        for file in self._files:
            for (value, label), count in file.seen.items():
                seen.setdefault(value or _part_of_file(file.name), Counter())[label] += count
        self._parts, left_out = divide(str(path), seen)
        labels = sum((seen[name] for name in self._parts), Counter())
        if not labels:
            raise TooFewImages(f'{path} has no images with a label')
        names = _names_of_numbers(path, self._files)
        self._config = config
        self._set(make_labels(path, labels, config.classes, names, complete=complete))
        self.count = labels.total()
        self.notes = (*left_out, *self._labels.notes, *self._missing(seen))

    def _set(self, labels: Labels) -> None:
        self._labels, self.classes, self.counts = labels, labels.classes, labels.counts

    def with_classes(
        self, classes: Sequence[str], new: Mapping[str, str] | None = None
    ) -> 'RecordSource[_File]':
        """A copy with other classes, in the order of the labels, and new names of some."""
        other = copy.copy(self)
        other._set(self._labels.with_classes(classes, new))
        return other

    def readings(self) -> Iterator[tuple[_File, Reading]]:
        """Yields the files with images that are used."""
        sources = sources_of_files((file.name, file.seen.total()) for file in self._files)
        for file in self._files:
            part = _part_of_file(file.name)
            reading = Reading(self._labels, self._parts, part, sources[file.name], self._config)
            if any(reading.is_used(split) for split, _ in file.seen):
                yield file, reading

    def _missing(self, seen: Mapping[str, Counter[Label]]) -> Iterator[str]:
        for name, part in self._parts.items():
            found = {self._labels.index(label) for label in seen[name]} if part else set()
            missing = [each for n, each in enumerate(self.classes) if part and n not in found]
            if missing:
                yield f'{name} has no images of {len(missing)} classes, such as {missing[0]!r}'


def call(
    file: Path, function: Callable[..., Iterator[_Answer]], *args: object
) -> Iterator[_Answer]:
    """Yields the results of a function about a file, which runs in a limited process.

    Raises DataError if it raises an error, or needs more memory or time than it may.
    """
    try:
        yield from limited_process.call(limited_process.Limits.for_file(file), function, *args)
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
    """The part that a value of a column of parts means; the value itself if it means none."""
    return kind_of_value(column, as_text(value)) or as_text(value)


def _part_of_file(name: str) -> str:
    """The part that a file, or a folder of its relative path, is called after; '' for none.

    `Split-train` is a folder of records of ExampleGen.
    """
    return kind_of(name.replace('Split-', '')) or ''


def divide(
    where: str, seen: Mapping[str, Counter[Label]]
) -> tuple[dict[str, Part | None], list[str]]:
    """The parts that are used by their names, None if the source is not divided, and notes.

    `seen` has the images of each name by label. A part without any label is left out; so is, if
    the others are parts, a name that is none.
    """
    labelled = [
        name
        for name, labels in seen.items()
        if any(label is not None and label != -1 for label in labels)
    ]
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


def _names_of_numbers(path: Path, files: Iterable[RecordFile]) -> dict[int, str] | None:
    names: dict[int, str] = {}
    for file in files:
        for number, name in file.names.items():
            if names.setdefault(number, name) != name:
                raise DataError(
                    f'{path}: label {number} is {names[number]!r} in one file, and {name!r} in '
                    f'{file.name}; give files with the same classes in the same order'
                )
    return names or None
