"""Reads the schema of Parquet files of images: columns, row groups, class names."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

# Prevents files from making pyarrow unpickle objects, which runs code (CVE-2023-47248).
import pyarrow_hotfix  # noqa: F401

from common.errors import DataError
from components.image_example_gen.sources.base.labels import Labels, make_labels, require_known
from components.image_example_gen.sources.base.source_protocol import class_name, describe_classes

IMAGE = 'image'  # the column of images
BUFFER = 2**20  # bytes; without a buffer, pyarrow reads a column of a row group at once
UNREADABLE = (pa.ArrowException, OSError, RuntimeError)  # RuntimeError is raised by pyarrow_hotfix
_LABELS = ('labels', 'label')  # by priority
_ROWS, _BYTES = 64, 2**24  # largest batch


class Table(NamedTuple):
    """The footer of a file.

    Attributes:
        file: the file.
        groups: number of rows of each row group.
        batch: number of rows to read at once.
        label: name of the label column.
        by_name: whether labels are names, not numbers.
        classes: names of the label numbers, if the file has them.
    """

    file: Path
    groups: tuple[int, ...]
    batch: int
    label: str
    by_name: bool
    classes: tuple[str, ...] | None


def read_footer(file: Path) -> Table:
    """Reads the footer of a file.

    Raises:
        DataError: it is not a Parquet file, cannot be read, or lacks a column.
    """
    try:
        with pq.ParquetFile(file) as parquet:
            schema, metadata = parquet.schema_arrow, parquet.metadata
            groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    except pa.ArrowInvalid as error:
        raise DataError(f'{file} is not a Parquet file') from error
    except UNREADABLE as error:
        raise unreadable(file, error) from error
    label = _label_column(file, schema)
    rows = tuple(group.num_rows for group in groups)
    row_bytes = sum(group.total_byte_size for group in groups) // max(1, sum(rows))
    batch = max(1, min(_ROWS, _BYTES // max(1, row_bytes)))
    by_name = _is_text(schema.field(label).type)
    return Table(file, rows, batch, label, by_name, _class_names(schema, label))


def unreadable(file: Path, error: Exception) -> DataError:
    """Converts an error of pyarrow to a DataError that names the file."""
    reason = str(error).strip().partition('\n')[0].rstrip(':')
    return DataError(f'{file} cannot be read: {reason}')


def _label_column(file: Path, schema: pa.Schema) -> str:
    """Finds the label column; raises DataError if a column is missing or of another type."""
    label = next((name for name in _LABELS if name in schema.names), None)
    if label is None or IMAGE not in schema.names:
        raise DataError(
            f'{file} has the columns {", ".join(schema.names)}; '
            f'expected {IMAGE}, and {" or ".join(_LABELS)}'
        )
    if not _holds_bytes(schema.field(IMAGE).type):
        raise DataError(
            f'{file} has no bytes in its column {IMAGE}, which is {schema.field(IMAGE).type}; '
            'expected binary, or a struct with bytes'
        )
    kind = schema.field(label).type
    if not pa.types.is_integer(_value_type(kind)) and not _is_text(kind):
        raise DataError(f'{file} has a column {label} of {kind}; expected integers or class names')
    return label


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == 'bytes' and _holds_bytes(field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_text(kind: pa.DataType) -> bool:
    kind = _value_type(kind)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """The names of the feature `ClassLabel`, which the library `datasets` writes to the schema."""
    try:
        metadata = json.loads((schema.metadata or {})[b'huggingface'])
        names = metadata['info']['features'][label]['names']
        return tuple(class_name(name) for name in names) or None
    except (KeyError, TypeError, ValueError):
        return None


def labels_of(
    place: object, tables: Sequence[Table], wanted: tuple[str, ...] | None
) -> list[Labels]:
    """The labels of each file; each file may number the classes differently.

    Args:
        place: name of the source in error messages.
        tables: the files.
        wanted: `data.classes` of the recipe.

    Raises:
        DataError: the classes or those of one file have no names, files have different classes and
            the recipe lists none, or it lists unknown ones.
    """
    numbered = [table for table in tables if not table.by_name]
    named = {table.classes: table.file for table in numbered if table.classes}
    own = tuple(dict.fromkeys(name for names in named for name in names))
    if own or not (numbered or wanted):
        texts = [_names_in(table) for table in tables if table.by_name]
        own += tuple(sorted(set().union(*texts) - set(own)))
    if len(named) < 2:
        return [make_labels(place, own or None, wanted)] * len(tables)
    if wanted is None:
        (first, file), (second, other), *_ = named.items()
        raise DataError(
            f'{file} has {describe_classes(first)} but {other} has {describe_classes(second)}; '
            'set data.classes, or give files with the same classes'
        )
    if unnamed := next((table.file for table in numbered if not table.classes), None):
        raise DataError(
            f'{unnamed} does not name its classes, and those of the other files differ; '
            'give files with the same classes'
        )
    classes = make_labels(place, None, wanted).classes
    require_known(place, own, classes)
    return [Labels(classes, table.classes or classes) for table in tables]


def _names_in(table: Table) -> set[str]:
    """The names in the label column; reads no other column."""
    names: set[str | None] = set()
    try:
        with pq.ParquetFile(table.file, buffer_size=BUFFER) as parquet:
            for batch in parquet.iter_batches(columns=[table.label]):
                names.update(batch.column(0).to_pylist())
    except UNREADABLE as error:
        raise unreadable(table.file, error) from error
    return {class_name(name) for name in names if name is not None}
