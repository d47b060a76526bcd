"""Sources whose files have many labelled images each: Parquet and TFRecords.

A limited process reads such a file: its reader allocates what the file asks for, and may crash.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import CallFailed, DataError, Rejected
from components.image_example_gen.inspection.limited_process import Limits, call
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import Label, is_class_name
from components.image_example_gen.sources.base.listing import (
    fingerprint_of,
    local_files,
    source_of_name,
)
from components.image_example_gen.sources.base.parts import (
    divide,
    group_of_name,
    part_in,
)
from components.image_example_gen.sources.base.source import (
    BadImage,
    LabelledImage,
    Shard,
    Source,
    ranges,
)

# Of a file: a shard begins to read at the start of the file, or of a row group, so that with this
# many a file is read at most 4.5 times.
_MOST_SHARDS = 8
_LONGEST_TEXT = 4096  # bytes of a path, label or group; the limit of paths in Linux


class Record(NamedTuple):
    """One image of a file, with values of its columns or features."""

    image: bytes | Rejected  # empty if only labels are read
    path: str
    label: Label
    split: str = ''  # of `part_of`
    group: str | None = None


# Yields the records of a file with these numbers; None: all of them, perhaps without the images.
Reader = Callable[[Path, DataConfig, range | None], Iterator[Record]]


@dataclasses.dataclass(frozen=True)
class RecordShard(Shard):
    """Consecutive records of a file."""

    file: Path
    name: str  # relative path
    read: Reader
    numbers: range

    def images(self) -> Iterator[LabelledImage | BadImage]:
        return _call(self.file, _images, self)


def open_records(config: DataConfig, read: Reader, kind: str, names: str) -> Source:
    """Opens a file, or all files in a folder at any depth.

    The user's own division into parts is that of `split` or of the names of files and folders.

    Args:
        config: the section `data` of a recipe.
        read: runs in a limited process.
        kind: that of `source_of_name` for the files in a folder.
        names: description of the names of files.

    Raises DataError if a file is missing or damaged or lacks a column, or no image has a label.
    """
    path = config.path
    assert path is not None  # `make_source` has checked it
    if not path.exists():
        raise DataError(f'{path} does not exist; give a folder or a file {names}')
    listed = local_files(path, lambda name: source_of_name(name) == kind)
    if not listed:
        raise DataError(f'data folder {path} has no files {names}')
    folder = (path if path.is_dir() else path.parent).absolute()
    found: dict[str, Counter[tuple[str, Label]]] = {}  # images by name of part and label
    for name in (file.name for file in listed):
        file = folder / name
        (found[name],) = _call(file, _count, read, file, name, config)
    seen = sum(found.values(), Counter())
    parts, notes = divide(str(path), seen)
    shards = [
        RecordShard(config, folder / name, name, read, numbers)
        for name, in_file in found.items()
        if any(part in parts for part, _ in in_file)
        for numbers in ranges(in_file.total(), _MOST_SHARDS)
    ]
    return Source(str(path), parts, seen, shards, fingerprint_of(listed), tuple(notes))


def _call(file: Path, function: Callable[..., Iterator[Any]], *args: object) -> Iterator[Any]:
    """Yields the results of a function about a file, which runs in a limited process.

    Raises DataError if it raises an error, or needs more memory or time than it may.
    """
    try:
        yield from call(Limits.for_file(file), function, *args)
    except CallFailed as error:
        raise DataError(f'{file} cannot be read: {error}') from None


def _count(
    read: Reader, file: Path, name: str, config: DataConfig
) -> Iterator[Counter[tuple[str, Label]]]:
    """Yields the number of images by name of part and label."""
    seen: Counter[tuple[str, Label]] = Counter()
    problem = None
    for record in read(file, config, None):
        seen[part_in(name, record.split), record.label] += 1
        problem = record.image if isinstance(record.image, Rejected) else problem
    if problem and not any(label is not None for _, label in seen):
        raise DataError(f'{file} has no image that can be used: of the last one, {problem.detail}')
    yield seen


def _images(shard: RecordShard) -> Iterator[LabelledImage | BadImage]:
    records = shard.read(shard.file, shard.config, shard.numbers)
    for number, record in itertools.zip_longest(shard.numbers, records):
        if record is None:
            raise DataError(f'{shard.file} changed while it was read: it has fewer records')
        part = part_in(shard.name, record.split)
        if part in shard.parts:
            place = f'{shard.name}:{number}' + (f' ({record.path})' if record.path else '')
            group = record.group or group_of_name(shard.config.group_by, record.path)
            yield shard.to_image(record.image, record.label, place, part, group=group)


def as_label(value: object) -> Label:
    """The label of a value of a file; None for one that is missing or cannot be a name."""
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return text if is_class_name(text := as_text(value)) else None


def as_text(value: object) -> str:
    """The text of a value of a file; empty for none, cut at a maximum length."""
    if isinstance(value, bytes):
        return value[:_LONGEST_TEXT].decode(errors='surrogateescape')
    return '' if value is None else str(value)[:_LONGEST_TEXT]
