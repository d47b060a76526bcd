"""Reads Parquet files with pyarrow, in a limited process."""

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common import stack
from common.errors import DataError
from common.files import open_regular
from components.image_example_gen.sources.base.csv_columns import (
    IMAGES,
    LABELS,
    SPLITS,
    CsvColumns,
    find_column,
)
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import Label
from components.image_example_gen.sources.base.record_source import (
    RecordFile,
    as_label,
    as_text,
    count_labels,
    part_of,
)

stack.forbid_pickles_in_arrow()

_BYTES, _PATH = 'bytes', 'path'  # fields of an image of the library `datasets`
_BUFFER = 2**20  # bytes; without a buffer, pyarrow reads a column of a row group at once
_VALUES = 4096  # labels read at once; images are read one by one, as they may be large


@dataclasses.dataclass(frozen=True)
class Table(RecordFile):
    """The footer of a file, and its labels."""

    groups: tuple[int, ...]  # number of rows in each row group
    image: str  # the names of the columns
    label: str
    split: str | None


class Row(NamedTuple):
    """Values of a row."""

    image: bytes | None  # None also if it has more bytes than the limit
    size: int  # bytes of the image; 0 for None
    path: str
    label: Label
    split: str
    group: str | None


def read_table(file: Path, name: str, config: DataConfig) -> Iterator[Table]:
    """Yields the footer of a file.

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
    image, label, split = _find_columns(file, schema, config.columns or CsvColumns())
    group = config.group_by.column if config.group_by else None
    for column in filter(None, (image, label, split, group)):
        if schema.names.count(column) != 1:
            raise DataError(f'{file} has no or several columns {column}; {_listed(schema)}')
    names = _class_names(schema, label)
    table = Table(file, name, Counter(), names, (*groups,), image, label, split)
    columns = [label, *filter(None, (split,))]
    values = (
        (part_of(split, row[-1]) if split else '', as_label(row[0]))
        for batch in _batches(table, columns, range(len(groups)), _VALUES)
        for row in zip(*(_values(batch[column]) for column in columns), strict=True)
    )
    yield dataclasses.replace(table, seen=count_labels(file, values))


def _find_columns(file: Path, schema: pa.Schema, wanted: CsvColumns) -> tuple[str, str, str | None]:
    """The columns of images, labels and splits: those of the recipe, else of the usual names."""
    images = [field.name for field in schema if _has_bytes(field.type)]
    image = _find(file, schema, wanted.image, IMAGES, _has_bytes)
    if image is None and len(images) == 1:
        image = images[0]
    label = _find(file, schema, wanted.label, LABELS, _is_scalar)
    split = None if wanted.split == '' else _find(file, schema, wanted.split, SPLITS, _is_scalar)
    if image is None or label is None:
        key, what = ('image', 'bytes of images') if image is None else ('label', 'labels')
        raise DataError(
            f'{file} has no column of a usual name with {what}: {_listed(schema)}; set '
            f'data.columns.{key}'
        )
    return image, label, split


def _find(
    file: Path,
    schema: pa.Schema,
    wanted: str | None,
    usual: Sequence[str],
    is_suitable: Callable[[pa.DataType], bool],
) -> str | None:
    fields = [each for each in schema if wanted is not None or is_suitable(each.type)]
    position = find_column(file, [each.name for each in fields], wanted, usual)
    if position is None:
        return None
    found = fields[position]
    if not is_suitable(found.type):
        raise DataError(f'{file} has a column {found.name} of {found.type}; it cannot be used')
    return str(found.name)


def _listed(schema: pa.Schema) -> str:
    columns = ', '.join(f'{field.name[:40]} ({field.type})'[:80] for field in schema)
    return f'it has the columns {columns[:400]}'


def _is_scalar(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    checks = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer)
    return any(check(kind) for check in (*checks, pa.types.is_boolean, pa.types.is_floating))


def _has_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        fields = [field.name for field in kind]
        return fields.count(_BYTES) == 1 and _is_binary(kind[_BYTES].type)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _class_names(schema: pa.Schema, label: str) -> dict[int, str]:
    """The names of the feature `ClassLabel`, which the library `datasets` writes to the schema."""
    try:
        metadata = json.loads((schema.metadata or {})[b'huggingface'])
        names = metadata['info']['features'][label]['names']
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return dict(enumerate(names)) if is_list else {}


def read_rows(
    table: Table, groups: Sequence[int], rows: range, config: DataConfig, max_bytes: int
) -> Iterator[Row]:
    """Yields the values of some rows of row groups."""
    group = config.group_by.column if config.group_by else None
    columns = list(dict.fromkeys(filter(None, (table.image, table.label, table.split, group))))
    batches = (batch for batch in _batches(table, columns, groups, 1) if batch.num_rows)
    for batch in itertools.islice(batches, rows.start, rows.stop):
        image, values = batch[table.image], {name: _values(batch[name]) for name in columns[1:]}
        path = None
        if pa.types.is_struct(image.type):
            fields = dict(zip((each.name for each in image.type), image.flatten(), strict=True))
            image, path = fields[_BYTES], fields.get(_PATH)
        size = pc.binary_length(image)[0].as_py() or 0
        yield Row(
            image=image[0].as_py() if size <= max_bytes else None,
            size=size,
            path=as_text(path and _values(path)[0]),
            label=as_label(values[table.label][0]),
            split=part_of(table.split, values[table.split][0]) if table.split else '',
            group=as_text(values[group][0]) or None if group else None,
        )


def _batches(
    table: Table, columns: Sequence[str], groups: Sequence[int], rows: int
) -> Iterator[pa.RecordBatch]:
    with (
        open_regular(table.file) as opened,
        pq.ParquetFile(opened, buffer_size=_BUFFER) as parquet,
    ):
        yield from parquet.iter_batches(rows, list(groups), list(columns), use_threads=False)


def _values(array: pa.Array) -> list[Any]:
    """Python values; texts as bytes, as they may be no UTF-8."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type):
        array = array.cast(pa.binary())
    elif pa.types.is_large_string(array.type):
        array = array.cast(pa.large_binary())
    return array.to_pylist()
