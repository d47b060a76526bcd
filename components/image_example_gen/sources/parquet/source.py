"""Images in Parquet files, as data sets of the Hugging Face hub come."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from common.errors import DataError
from components.image_example_gen.sources.base import origins
from components.image_example_gen.sources.base.image_files import (
    PARQUET_SUFFIXES,
    files_in,
    fingerprint,
)
from components.image_example_gen.sources.base.labels import Labels
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
)
from components.image_example_gen.sources.parquet.columns import (
    BUFFER,
    IMAGE,
    UNREADABLE,
    labels_of,
    read_footer,
    unreadable,
)


class ParquetSource:
    """A Parquet file, or all of those in a folder.

    The column `image` holds the bytes of an image, alone or as `bytes` in a struct beside its
    `path`; `labels` or `label` holds its class as a number or by its name. A shard is some row
    groups, for nothing less can be read alone: a file written as one group is one shard.

    Numbers stand for the names that their own file gives, as files may order them differently.

    Args:
        path: the file, or the folder that is searched at any depth.
        classes: names in the order of the labels; None: those that the files name, as
            the library `datasets` writes them, or the sorted names that stand for labels.

    Raises:
        DataError: a file is missing, is not Parquet or has other columns, or there are no images
            or not two classes.
    """

    def __init__(self, path: Path, classes: tuple[str, ...] | None = None) -> None:
        self._root = path if path.is_dir() else path.parent
        try:
            files = _find(path)
            self.fingerprint = fingerprint(files, self._root)
        except OSError as error:
            raise DataError(f'{error.filename} cannot be read: {error.strerror}') from error
        self._tables = [read_footer(file) for file in files]
        self.count = sum(sum(table.groups) for table in self._tables)
        if not self.count:
            raise DataError(f'{path} holds no images: there is no row in it')
        self._labels = labels_of(path, self._tables, classes)
        self.classes = self._labels[0].classes

    def shards(self) -> list['ParquetShard']:
        names = [str(table.file.relative_to(self._root)) for table in self._tables]
        rows = [sum(table.groups) for table in self._tables]
        sources = origins.of_files(zip(names, rows, strict=True))
        return [
            ParquetShard(
                table.file, name, sources[name], table.label, groups, first, table.batch, labels
            )
            for name, table, labels in zip(names, self._tables, self._labels, strict=True)
            for groups, first in _parts(table.groups)
        ]


@dataclasses.dataclass(frozen=True)
class ParquetShard:
    """Some row groups of a file.

    Attributes:
        file: the file.
        name: what it is called in the names of images.
        source: of its images.
        column: the one of labels.
        groups: numbers of the row groups.
        first: the number of their first row in the file.
        batch: rows that are in memory at once.
        labels: of the file.
    """

    file: Path
    name: str
    source: str
    column: str
    groups: tuple[int, ...]
    first: int
    batch: int
    labels: Labels

    def images(self) -> Iterator[LabelledImage | BadImage]:
        for number, row in enumerate(self._rows(), self.first):
            image = _given(row[IMAGE], row[self.column], f'{self.name}:{number}', self.labels)
            yield origins.named(image, self.source)

    def _rows(self) -> Iterator[dict[str, Any]]:
        columns = [IMAGE, self.column]
        try:
            with pq.ParquetFile(self.file, buffer_size=BUFFER) as parquet:
                for batch in parquet.iter_batches(self.batch, list(self.groups), columns):
                    yield from batch.to_pylist()
        except UNREADABLE as error:
            raise unreadable(self.file, error) from error


def _find(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f'{path} does not exist; give a Parquet file or a folder that holds some')
    files = sorted(files_in(path, PARQUET_SUFFIXES))
    if not files:
        raise DataError(f'data folder {path} holds no Parquet files; expected {path}/*.parquet')
    return files


def _parts(groups: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], int]]:
    """Row groups in order, about IMAGES_PER_SHARD rows together, with the number of the first."""
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


def _given(
    image: Any, label: int | str | None, place: str, labels: Labels
) -> LabelledImage | BadImage:
    contents, path = (image['bytes'], image.get('path')) if isinstance(image, dict) else (image, '')
    if contents is None:
        named = f', only the path {path}' if path else ''
        return BadImage(place, 'unreadable', f'the row holds no bytes of an image{named}')
    filename = f'{place} ({path})' if path else place
    index = labels.index(label)
    if index is None:
        return BadImage(filename, 'label outside the list', labels.outside(label), contents)
    return LabelledImage(contents, index, filename)
