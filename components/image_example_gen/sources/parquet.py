"""Source for images in Parquet files, such as those of the Hugging Face hub."""

import bisect
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from common import stack
from common.errors import DataError, Rejected
from common.files import open_regular
from components.image_example_gen.inspection.check_config import too_large
from components.image_example_gen.sources.base.columns import Columns, find_columns
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.parts import part_of
from components.image_example_gen.sources.base.record_source import (
    Record,
    as_label,
    as_text,
    open_records,
)
from components.image_example_gen.sources.base.source import Source

stack.forbid_pickles_in_arrow()

_BYTES, _PATH = 'bytes', 'path'  # fields of an image of the library `datasets`
_BUFFER = 2**20  # bytes; without a buffer, pyarrow reads a column of a row group at once
_VALUES = 4096  # labels read at once; images are read one by one, as they may be large


def read_rows(file: Path, config: DataConfig, numbers: range | None) -> Iterator[Record]:
    """Yields rows of a file; raises DataError if it lacks a column or states impossible sizes."""
    with open_regular(file) as opened, pq.ParquetFile(opened, buffer_size=_BUFFER) as parquet:
        columns = _find_columns(file, parquet.schema_arrow, config)
        names = _class_names(parquet.schema_arrow, str(columns.label))
        groups = range(parquet.metadata.num_row_groups)
        counts = [parquet.metadata.row_group(group).num_rows for group in groups]
        if not 0 <= sum(counts) <= file.stat().st_size or min(counts, default=0) < 0:
            raise DataError(f'{file} is damaged: it states {sum(counts):,} rows, more than bytes')
        wanted, rows = (columns, 1) if numbers else (columns[1:], _VALUES)
        numbers = numbers or range(sum(counts))
        ends = [*itertools.accumulate(counts)]
        first = bisect.bisect_right(ends, numbers.start)
        if first == len(groups):  # an empty file, or one that changed
            return
        batches = parquet.iter_batches(
            rows, groups[first:], [*{*wanted} - {None}], use_threads=False
        )
        filled = (batch for batch in batches if batch.num_rows)
        skipped = numbers.start - (ends[first - 1] if first else 0)
        chosen = itertools.islice(filled, skipped, skipped + len(numbers))
        for row in itertools.chain.from_iterable(b.to_pylist() for b in chosen):
            label = as_label(row[columns.label])
            yield Record(
                *_image(row.get(columns.image, b''), config.checks.max_bytes),
                names.get(label, label),
                part_of(columns.split or '', as_text(row.get(columns.split))),
                as_text(row.get(columns.group)) or None,
            )


def open_source(config: DataConfig) -> Source:
    """Opens a Parquet file, or all Parquet files in a folder at any depth; see `open_records`.

    The column of images has bytes, or a struct with `bytes` and `path`; that of labels has numbers
    or names; see `data.columns`. Names of numbers are those in the metadata of the library
    `datasets`.
    """
    return open_records(config, read_rows, 'parquet', '*.parquet')


def _find_columns(file: Path, schema: pa.Schema, config: DataConfig) -> Columns:
    """The columns of a recipe, else of usual names, else the only one with bytes."""
    images = [each.name for each in schema if _has_bytes(each.type)]
    others = [
        each.name
        for each in schema
        if each.name not in images and not pa.types.is_nested(each.type)
    ]
    columns = find_columns(file, images, others, config)
    if columns.image is None and len(images) == 1:
        columns = columns._replace(image=images[0])
    if not (columns.image and columns.label) or len({*schema.names}) < len(schema):
        listed = ', '.join(f'{field.name[:40]} ({field.type})'[:80] for field in schema)
        raise DataError(
            f'{file} has not one column of a usual name with bytes of images and one with labels; '
            f'it has {listed[:400]}; set data.columns.image and data.columns.label'
        )
    return columns


def _has_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind) and [field.name for field in kind].count(_BYTES) == 1:
        kind = kind[_BYTES].type
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _class_names(schema: pa.Schema, label: str) -> dict[Any, str]:
    """The names of the feature `ClassLabel`, which the library `datasets` writes to the schema."""
    try:
        metadata = json.loads((schema.metadata or {})[b'huggingface'])
        names = metadata['info']['features'][label]['names']
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    is_list = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return dict(enumerate(names)) if is_list else {}


def _image(image: Any, max_bytes: int) -> tuple[bytes | Rejected, str]:
    """Bytes and path of an image; Rejected if there are no bytes, or too many."""
    contents, path = image, ''
    if isinstance(image, dict):
        contents, path = image[_BYTES], as_text(image.get(_PATH))
    if contents is None:
        return Rejected('unreadable', 'the row has no bytes of an image'), path
    return too_large(max_bytes, len(contents)) or contents, path
