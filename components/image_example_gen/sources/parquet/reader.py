"""Reads footers and rows of Parquet files with pyarrow.

pyarrow allocates as much memory as a file asks for, and may crash on damaged files: these functions
run in a `reader_process`.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common import stack
from common.errors import DataError
from common.files import open_regular
from components.image_example_gen.sources.base.source_protocol import LONGEST_TEXT

stack.forbid_pickles_in_arrow()

IMAGE, LABELS = 'image', ('labels', 'label')  # columns; those of labels by priority
_BYTES, _PATH = 'bytes', 'path'  # fields of the image
_BUFFER = 2**20  # bytes; without a buffer, pyarrow reads a column of a row group at once
_ROWS = 1  # read at once, as images may be large; more are not faster


@dataclasses.dataclass(frozen=True)
class Table:
    """The footer of a file."""

    file: Path
    name: str  # relative path
    groups: tuple[int, ...]  # number of rows in each row group
    label: str  # label column
    has_names: bool  # whether labels are names, not numbers
    classes: tuple[str, ...] | None  # names of the label numbers, if the file has them


class Row(NamedTuple):
    """Values of a row; texts are bytes, as they may be no UTF-8."""

    image: bytes | None  # None also if it has more bytes than the limit
    length: int  # bytes of the image; 0 for None
    path: bytes | None
    label: bytes | int | None
    group: bytes | int | None


def read_footer(file: Path, name: str, group: str | None) -> Iterator[Table]:
    """Yields the footer of a file; `group` is the column of groups, if any.

    Raises DataError if it is not a Parquet file, states sizes that cannot be, or lacks a column.
    """
    try:
        with open_regular(file) as opened, pq.ParquetFile(opened) as parquet:
            schema, metadata = parquet.schema_arrow, parquet.metadata
            groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    except pa.ArrowInvalid as error:
        raise DataError(f'{file} is not a Parquet file') from error
    size = file.stat().st_size
    if min(groups, default=0) < 0 or sum(groups) > size:
        raise DataError(f'{file} is damaged: it states {sum(groups):,} rows in {size:,} bytes')
    label = next((each for each in LABELS if each in schema.names), None)
    if label is None or IMAGE not in schema.names:
        raise DataError(
            f'{file} has the columns {_listed(schema.names)}; '
            f'expected {IMAGE}, and {" or ".join(LABELS)}'
        )
    if group and group not in schema.names:
        raise DataError(
            f'{file} has no column {group} of data.group_by; its columns: {_listed(schema.names)}'
        )
    for column in filter(None, (IMAGE, label, group)):
        if schema.names.count(column) > 1:
            raise DataError(f'{file} has several columns {column}; expected one')
    image_type, label_type = schema.field(IMAGE).type, schema.field(label).type
    if not _has_bytes(image_type):
        raise DataError(
            f'{file} has no bytes in its column {IMAGE}, which is {image_type}; '
            'expected binary, or a struct with bytes'
        )
    has_names = _is_text(label_type)
    if not has_names and not _is_integer(label_type):
        raise DataError(
            f'{file} has a column {label} of {label_type}; expected integers or class names'
        )
    group_type = schema.field(group).type if group else label_type
    if not _is_text(group_type) and not _is_integer(group_type):
        raise DataError(
            f'{file} has a column {group} of {group_type}; data.group_by needs text or integers'
        )
    yield Table(file, name, tuple(groups), label, has_names, _class_names(schema, label))


def _listed(names: Sequence[str]) -> str:
    return ', '.join(name[:40] for name in names[:20]) + (', ...' if len(names) > 20 else '')


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_integer(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind.value_type if pa.types.is_dictionary(kind) else kind)


def _has_bytes(kind: pa.DataType) -> bool:
    if not pa.types.is_struct(kind):
        return _is_binary(kind)
    fields = [field.name for field in kind]
    if _PATH in fields and not (fields.count(_PATH) == 1 and _is_text(kind[_PATH].type)):
        return False
    return fields.count(_BYTES) == 1 and _is_binary(kind[_BYTES].type)


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """The names of the feature `ClassLabel`, which the library `datasets` writes to the schema."""
    try:
        metadata = json.loads((schema.metadata or {})[b'huggingface'])
        names = metadata['info']['features'][label]['names']
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names) or None if is_list else None


def read_label_names(table: Table) -> Iterator[bytes]:
    """Yields each different name in the label column once."""
    found = {
        value
        for batch in _batches(table, [table.label], range(len(table.groups)))
        for value in _values(batch.column(0))
    }
    yield from found - {None}


def read_rows(
    table: Table, groups: Sequence[int], column: str | None, max_bytes: int
) -> Iterator[Row]:
    """Yields the rows of row groups; `column` is that of groups of images, if any."""
    wanted = dict.fromkeys(filter(None, (IMAGE, table.label, column)))
    for batch in _batches(table, list(wanted), groups):
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        images, nothing = columns[IMAGE], [None] * batch.num_rows
        paths: Sequence[Any] = nothing
        if pa.types.is_struct(images.type):
            fields = dict(zip((each.name for each in images.type), images.flatten(), strict=True))
            images = fields[_BYTES]
            paths = _values(fields[_PATH]) if _PATH in fields else nothing
        lengths = [length or 0 for length in pc.binary_length(images).to_pylist()]
        labels = _values(columns[table.label])
        groups_of_images = _values(columns[column]) if column else nothing
        for number, length in enumerate(lengths):
            image = images[number].as_py() if length <= max_bytes else None
            yield Row(image, length, paths[number], labels[number], groups_of_images[number])


def _batches(table: Table, columns: list[str], groups: Sequence[int]) -> Iterator[pa.RecordBatch]:
    with (
        open_regular(table.file) as opened,
        pq.ParquetFile(opened, buffer_size=_BUFFER) as parquet,
    ):
        yield from parquet.iter_batches(_ROWS, list(groups), columns, use_threads=False)


def _values(array: pa.Array) -> list[Any]:
    """Python values of integers or texts; texts as bytes, of which the end of a long one is cut."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type):
        array = array.cast(pa.binary())
    elif pa.types.is_large_string(array.type):
        array = array.cast(pa.large_binary())
    values = array.to_pylist()
    return [each[:LONGEST_TEXT] if isinstance(each, bytes) else each for each in values]
