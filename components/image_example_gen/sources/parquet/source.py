"""Source for images in Parquet files, such as those of the Hugging Face hub."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from common.errors import Rejected
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.listing import PARQUET_SUFFIXES
from components.image_example_gen.sources.base.reading import require_within
from components.image_example_gen.sources.base.record_source import (
    Reading,
    RecordSource,
    call,
)
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
    ranges,
)
from components.image_example_gen.sources.parquet.reader import (
    Row,
    Table,
    read_rows,
    read_table,
)

# Of the same row groups: a shard reads all rows before its own, 0.06 ms each, so that the last of
# four costs 10 % of the time to examine its images.
_MOST_SHARDS = 8


class ParquetSource(RecordSource[Table]):
    """A Parquet file, or all Parquet files in a folder at any depth.

    The column of images has bytes, or a struct with `bytes` and `path`; that of labels has numbers
    or names; see `data.columns`. By default, the classes are those in the metadata of the files,
    as the library `datasets` writes them, or the labels. Raises the errors of RecordSource.
    """

    def __init__(self, config: DataConfig, *, complete: bool = True) -> None:
        super().__init__(config, '*.parquet', _is_parquet, read_table, complete=complete)

    def shards(self) -> list['ParquetShard']:
        return [
            ParquetShard(table, reading, *part)
            for table, reading in self.readings()
            for part in _parts(table.groups)
        ]


@dataclasses.dataclass(frozen=True)
class ParquetShard:
    """Rows of some row groups of a file."""

    table: Table
    reading: Reading
    groups: tuple[int, ...]  # numbers of the row groups
    first: int  # number of their first row in the file
    rows: range  # after `first`

    def images(self) -> Iterator[LabelledImage | BadImage]:
        return call(self.table.file, _read, self)


def _read(shard: ParquetShard) -> Iterator[LabelledImage | BadImage]:
    reading, checks = shard.reading, shard.reading.config.checks
    rows = read_rows(shard.table, shard.groups, shard.rows, reading.config, checks.max_bytes)
    for number, row in enumerate(rows, shard.first + shard.rows.start):
        place = f'{shard.table.name}:{number}'
        if reading.is_used(row.split):
            try:
                image = _image(row, checks.max_bytes)
            except Rejected as error:
                yield BadImage(place, error.reason, error.detail)
            else:
                yield reading.to_image(place, image, row.label, row.path, row.split, row.group)


def _image(row: Row, max_bytes: int) -> bytes:
    """Raises Rejected if the row has no bytes, or too many."""
    require_within(max_bytes, row.size)
    if row.image is None:
        only = f', only the path {row.path}' if row.path else ''
        raise Rejected('unreadable', f'the row has no bytes of an image{only}')
    return row.image


def _is_parquet(name: str) -> bool:
    return PurePath(name).suffix.lower() in PARQUET_SUFFIXES


def _parts(groups: Sequence[int]) -> Iterator[tuple[tuple[int, ...], int, range]]:
    """Joins small row groups and divides large ones, to about IMAGES_PER_SHARD rows.

    Yields numbers of row groups, the number of their first row, and a range of their rows.
    """
    joined: list[int] = []
    first = rows = 0
    for number, size in enumerate([*groups, IMAGES_PER_SHARD + 1]):  # the last one ends the loop
        if joined and rows + size > IMAGES_PER_SHARD:
            for part in ranges(rows, _MOST_SHARDS):
                yield tuple(joined), first, part
            joined, first, rows = [], first + rows, 0
        joined.append(number)
        rows += size
