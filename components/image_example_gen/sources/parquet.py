"""Source for images in Parquet files, such as those of the Hugging Face hub."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from common import stack
from common.errors import DataError, Rejected
from common.files import open_regular
from components.image_example_gen.sources.base.csv_columns import (
    IMAGES,
    LABELS,
    SPLITS,
    CsvColumns,
    find_column,
)
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.listing import PARQUET_SUFFIXES
from components.image_example_gen.sources.base.reading import require_within
from components.image_example_gen.sources.base.record_source import (
    Record,
    RecordFile,
    RecordSource,
    as_label,
    as_text,
    count_labels,
    part_of,
)
from components.image_example_gen.sources.base.source_protocol import IMAGES_PER_SHARD, ranges

stack.forbid_pickles_in_arrow()

_BYTES, _PATH = 'bytes', 'path'  # fields of an image of the library `datasets`
_BUFFER = 2**20  # bytes; without a buffer, pyarrow reads a column of a row group at once
_VALUES = 4096  # labels read at once; images are read one by one, as they may be large
# Of the same row groups: a shard reads all rows before its own, 0.06 ms each.
_MOST_SHARDS = 8


@dataclasses.dataclass(frozen=True)
class Table(RecordFile):
    """A Parquet file."""

    groups: tuple[int, ...]  # number of rows in each row group
    image: str  # the names of the columns
    label: str
    split: str | None

    def read(self, numbers: range, config: DataConfig) -> Iterator[Record | Rejected]:
        """Yields rows; Rejected without an image, or if it is too large."""
        group = config.group_by.column if config.group_by else None
        columns = list(dict.fromkeys(filter(None, (self.image, self.label, self.split, group))))
        starts = [0, *itertools.accumulate(self.groups)]
        groups = [
            group
            for group, (start, stop) in enumerate(itertools.pairwise(starts))
            if start < numbers.stop and numbers.start < stop
        ]
        first = numbers.start - starts[groups[0]]
        batches = (batch for batch in _batches(self.file, columns, groups, 1) if batch.num_rows)
        for batch in itertools.islice(batches, first, first + len(numbers)):
            values = {name: _values(batch[name])[0] for name in columns if name != self.image}
            try:
                image, path = _image(batch[self.image], config.checks.max_bytes)
            except Rejected as error:
                yield error
                continue
            yield Record(
                image,
                as_label(values[self.label]),
                path,
                part_of(self.split, values[self.split]) if self.split else '',
                as_text(values[group]) or None if group else None,
            )


class ParquetSource(RecordSource):
    """A Parquet file, or all Parquet files in a folder at any depth; see RecordSource.

    The column of images has bytes, or a struct with `bytes` and `path`; that of labels has numbers
    or names; see `data.columns`. Names of numbers are those in the metadata of the library
    `datasets`. A shard is a part of a row group, or several.
    """

    suffixes = '*.parquet'

    @staticmethod
    def is_used(name: str) -> bool:
        return PurePath(name).suffix.lower() in PARQUET_SUFFIXES

    @staticmethod
    def scan(file: Path, name: str, config: DataConfig) -> Iterator[Table]:
        """Yields the footer of a file, and its labels.

        Raises DataError if it is no Parquet file, states impossible sizes, or lacks a column.
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
        wanted = config.columns or CsvColumns()
        group = config.group_by.column if config.group_by else None
        image = _column(file, schema, wanted.image, IMAGES, _has_bytes)
        if image is None:  # of any name, if there is only one
            with_bytes = [each.name for each in schema if _has_bytes(each.type)]
            image = with_bytes[0] if len(with_bytes) == 1 else None
        label = _column(file, schema, wanted.label, LABELS, _is_value)
        split = _column(file, schema, wanted.split or None, SPLITS, _is_value)
        split = None if wanted.split == '' else split
        _column(file, schema, group, (), _is_value)
        if image is None or label is None:
            key, what = ('image', 'bytes of images') if image is None else ('label', 'labels')
            raise DataError(
                f'{file} has no column of a usual name with {what}; {_listed(schema)}; set '
                f'data.columns.{key}'
            )
        columns = [label, *filter(None, (split,))]
        values = (
            (part_of(split, row[-1]) if split else '', as_label(row[0]))
            for batch in _batches(file, columns, range(len(groups)), _VALUES)
            for row in zip(*(_values(batch[column]) for column in columns), strict=True)
        )
        seen, names, parts = count_labels(file, values), _class_names(schema, label), _parts(groups)
        yield Table(file, name, seen, names, (*parts,), (*groups,), image, label, split)


def _column(
    file: Path,
    schema: pa.Schema,
    wanted: str | None,
    usual: Sequence[str],
    is_suitable: Callable[[pa.DataType], bool],
) -> str | None:
    """The column of a recipe, else of a usual name; raises DataError if it cannot be used."""
    names = [each.name for each in schema if wanted is not None or is_suitable(each.type)]
    position = find_column(file, names, wanted, usual)
    if position is None:
        return None
    name = names[position]
    if schema.names.count(name) != 1 or not is_suitable(schema.field(name).type):
        raise DataError(f'{file} has no or several columns {name} to use; {_listed(schema)}')
    return name


def _listed(schema: pa.Schema) -> str:
    columns = ', '.join(f'{field.name[:40]} ({field.type})'[:80] for field in schema)
    return f'it has the columns {columns[:400]}'


def _is_value(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind) and not _has_bytes(kind)


def _has_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind) and [field.name for field in kind].count(_BYTES) == 1:
        kind = kind[_BYTES].type
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


def _parts(groups: Sequence[int]) -> Iterator[range]:
    """Ranges of about IMAGES_PER_SHARD rows: of a large row group, or of small ones together."""
    first = rows = 0
    for size in [*groups, IMAGES_PER_SHARD + 1]:  # the last one ends the loop
        if rows and rows + size > IMAGES_PER_SHARD:
            for part in ranges(rows, _MOST_SHARDS):
                yield range(first + part.start, first + part.stop)
            first, rows = first + rows, 0
        rows += size


def _image(image: pa.Array, max_bytes: int) -> tuple[bytes, str]:
    """Bytes and path; raises Rejected if there are no bytes, or too many."""
    path = ''
    if pa.types.is_struct(image.type):
        fields = dict(zip((each.name for each in image.type), image.flatten(), strict=True))
        image = fields[_BYTES]
        path = as_text(_values(fields[_PATH])[0]) if _PATH in fields else ''
    require_within(max_bytes, pc.binary_length(image)[0].as_py() or 0)
    contents = image[0].as_py()
    if contents is None:
        only = f', only the path {path}' if path else ''
        raise Rejected('unreadable', f'the row has no bytes of an image{only}')
    return contents, path


def _batches(
    file: Path, columns: Sequence[str], groups: Sequence[int], rows: int
) -> Iterator[pa.RecordBatch]:
    with open_regular(file) as opened, pq.ParquetFile(opened, buffer_size=_BUFFER) as parquet:
        yield from parquet.iter_batches(rows, list(groups), list(columns), use_threads=False)


def _values(array: pa.Array) -> list[Any]:
    """Python values; texts as bytes, as they may be no UTF-8."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        array = array.cast(pa.large_string()).cast(pa.large_binary())
    return array.to_pylist()
