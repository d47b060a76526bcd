"""Source for images in Parquet files, in the format of the Hugging Face hub."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from common import stack
from common.errors import DataError, TooFewImages
from components.image_example_gen.sources.base.groups import (
    GroupConfig,
    group_of_name,
    group_of_value,
)
from components.image_example_gen.sources.base.image_files import (
    PARQUET_SUFFIXES,
    files_in,
    fingerprint,
)
from components.image_example_gen.sources.base.labels import Labels, make_labels
from components.image_example_gen.sources.base.origins import sources_of_files
from components.image_example_gen.sources.base.reading import convert_os_errors
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
    class_name,
    describe_classes,
)

stack.forbid_pickles_in_arrow()

_IMAGE, _LABELS = 'image', ('labels', 'label')  # columns; those of labels by priority
_BUFFER = 2**20  # bytes; without a buffer, pyarrow reads a column of a row group at once
_ROWS = 4  # read at once; few, as images may be large
_ERRORS = (pa.ArrowException, OSError, RuntimeError)  # RuntimeError is raised by pyarrow_hotfix


@dataclasses.dataclass(frozen=True)
class Table:
    """The footer of a file."""

    file: Path
    name: str  # relative path
    groups: tuple[int, ...]  # number of rows in each row group
    label: str  # label column
    has_names: bool  # whether labels are names, not numbers
    classes: tuple[str, ...] | None  # names of the label numbers, if the file has them


class ParquetSource:
    """A Parquet file, or all Parquet files in a folder at any depth.

    The column `image` has the bytes of an image, or a struct with `bytes` and `path`; the column
    `labels` or `label` has class numbers or names. By default, the classes are those in the
    metadata of the files, as the library `datasets` writes them, or the sorted names in the label
    column. A shard consists of whole row groups, the smallest part that can be read alone.

    Raises:
        DataError: a file is missing, is not Parquet or lacks a column, files have different
            classes, or there are no images or fewer than two classes.
    """

    def __init__(
        self,
        path: Path,
        classes: tuple[str, ...] | None = None,
        group_by: GroupConfig | None = None,
    ) -> None:
        if not path.exists():
            raise DataError(f'{path} does not exist; give a Parquet file or a folder of such files')
        root = path if path.is_dir() else path.parent
        with convert_os_errors():
            files = [path] if path.is_file() else sorted(files_in(path, PARQUET_SUFFIXES))
            self.fingerprint = fingerprint(files, root)
        if not files:
            raise TooFewImages(
                f'data folder {path} has no Parquet files; expected {path}/*.parquet'
            )
        self._group_by, column = group_by, group_by.column if group_by else None
        self._tables = [_read_footer(file, str(file.relative_to(root)), column) for file in files]
        self.count = sum(sum(table.groups) for table in self._tables)
        if not self.count:
            raise TooFewImages(f'{path} has no images: it has no rows')
        own = _classes_in_metadata(self._tables)
        if own is None and classes is None:
            own = _classes_in_labels(self._tables)
        self._labels = make_labels(path, own, classes)
        self.classes = self._labels.classes

    def shards(self) -> list['ParquetShard']:
        sources = sources_of_files((table.name, sum(table.groups)) for table in self._tables)
        return [
            ParquetShard(table, sources[table.name], groups, first, self._labels, self._group_by)
            for table in self._tables
            for groups, first in _parts(table.groups)
        ]


@dataclasses.dataclass(frozen=True)
class ParquetShard:
    """Some row groups of a file."""

    table: Table
    source: str
    groups: tuple[int, ...]  # numbers of the row groups
    first: int  # number of their first row in the file
    labels: Labels
    group_by: GroupConfig | None

    def images(self) -> Iterator[LabelledImage | BadImage]:
        column = self.group_by.column if self.group_by else None
        columns = dict.fromkeys(filter(None, (_IMAGE, self.table.label, column)))
        rows = _read_rows(self.table, list(columns), self.groups)
        for number, row in enumerate(rows, self.first):
            place, image = f'{self.table.name}:{number}', row[_IMAGE]
            image = image if isinstance(image, dict) else {'bytes': image}
            contents, path = image['bytes'], image.get('path')
            if contents is None:
                only = f', only the path {path}' if path else ''
                yield BadImage(place, 'unreadable', f'the row has no bytes of an image{only}')
                continue
            filename = f'{place} ({path})' if path else place
            label, group = row[self.table.label], group_of_name(self.group_by, path or '')
            if column:
                group = group_of_value(row[column])
            yield self.labels.to_image(contents, label, filename, self.source, group)


def _read_footer(file: Path, name: str, group: str | None) -> Table:
    """Reads a footer; `group` is the column of groups, if any.

    Raises DataError if it is not a Parquet file, cannot be read, or lacks a column.
    """
    try:
        with pq.ParquetFile(file) as parquet:
            schema, metadata = parquet.schema_arrow, parquet.metadata
            groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    except pa.ArrowInvalid as error:
        raise DataError(f'{file} is not a Parquet file') from error
    except _ERRORS as error:
        raise _unreadable(file, error) from error
    label = next((each for each in _LABELS if each in schema.names), None)
    if label is None or _IMAGE not in schema.names:
        raise DataError(
            f'{file} has the columns {", ".join(schema.names)}; '
            f'expected {_IMAGE}, and {" or ".join(_LABELS)}'
        )
    image_type, label_type = schema.field(_IMAGE).type, schema.field(label).type
    if not _is_binary(image_type):
        raise DataError(
            f'{file} has no bytes in its column {_IMAGE}, which is {image_type}; '
            'expected binary, or a struct with bytes'
        )
    has_names = _is_text(label_type)
    if not has_names and not _is_integer(label_type):
        raise DataError(
            f'{file} has a column {label} of {label_type}; expected integers or class names'
        )
    if group and group not in schema.names:
        raise DataError(
            f'{file} has no column {group} of data.group_by; its columns: {", ".join(schema.names)}'
        )
    group_type = schema.field(group).type if group else label_type
    if not _is_text(group_type) and not _is_integer(group_type):
        raise DataError(
            f'{file} has a column {group} of {group_type}; data.group_by needs text or integers'
        )
    return Table(file, name, tuple(groups), label, has_names, _class_names(schema, label))


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_integer(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind.value_type if pa.types.is_dictionary(kind) else kind)


def _is_binary(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == 'bytes' and _is_binary(field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """The names of the feature `ClassLabel`, which the library `datasets` writes to the schema."""
    try:
        metadata = json.loads((schema.metadata or {})[b'huggingface'])
        names = metadata['info']['features'][label]['names']
        return tuple(class_name(name) for name in names) or None
    except (KeyError, TypeError, ValueError):
        return None


def _classes_in_metadata(tables: Sequence[Table]) -> tuple[str, ...] | None:
    """Raises DataError if files have different classes: a label number had several meanings."""
    named = {table.classes: table.file for table in tables if table.classes}
    if len(named) > 1:
        (first, file), (second, other), *_ = named.items()
        raise DataError(
            f'{file} has {describe_classes(first)} but {other} has {describe_classes(second)}; '
            'give files with the same classes in the same order'
        )
    return next(iter(named), None)


def _classes_in_labels(tables: Sequence[Table]) -> tuple[str, ...] | None:
    """The sorted names in the label columns; None if labels are numbers."""
    if not all(table.has_names for table in tables):
        return None
    names = {
        row[table.label]
        for table in tables
        for row in _read_rows(table, [table.label], range(len(table.groups)))
    }
    return tuple(sorted({class_name(name) for name in names if name}))


def _read_rows(table: Table, columns: list[str], groups: Sequence[int]) -> Iterator[dict[str, Any]]:
    try:
        with pq.ParquetFile(table.file, buffer_size=_BUFFER) as parquet:
            for batch in parquet.iter_batches(_ROWS, list(groups), columns):
                yield from batch.to_pylist()
    except _ERRORS as error:
        raise _unreadable(table.file, error) from error


def _unreadable(file: Path, error: Exception) -> DataError:
    reason = str(error).strip().partition('\n')[0].rstrip(':')
    return DataError(f'{file} cannot be read: {reason}')


def _parts(groups: Sequence[int]) -> Iterator[tuple[tuple[int, ...], int]]:
    """Groups row groups to about IMAGES_PER_SHARD rows; yields them with their first row."""
    part: list[int] = []
    first = rows = 0
    for number, size in enumerate(groups):
        if part and rows + size > IMAGES_PER_SHARD:
            yield tuple(part), first
            part, first, rows = [], first + rows, 0
        part.append(number)
        rows += size
    if rows:
        yield tuple(part), first
