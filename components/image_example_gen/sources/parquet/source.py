"""Source for images in Parquet files, in the format of the Hugging Face hub."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from common.errors import DataError
from components.image_example_gen.sources.base.image_files import (
    PARQUET_SUFFIXES,
    files_in,
    fingerprint,
)
from components.image_example_gen.sources.base.labels import Labels
from components.image_example_gen.sources.base.origins import sources_of_files
from components.image_example_gen.sources.base.reading import convert_os_errors
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
    """A Parquet file, or all Parquet files in a folder.

    The column `image` has the bytes of an image, or a struct with `bytes` and `path`; the column
    `labels` or `label` has class numbers or names. Numbers follow the class names in the same file,
    as files may order them differently. A shard consists of whole row groups, the smallest part
    that can be read alone.

    Args:
        path: the file, or a folder that is searched at any depth.
        classes: names in the order of the labels; None: the names in the metadata of the files, as
            the library `datasets` writes them, or the sorted names in the label column.

    Raises:
        DataError: a file is missing, is not Parquet or lacks a column, or there are no images or
            fewer than two classes.
    """

    def __init__(self, path: Path, classes: tuple[str, ...] | None = None) -> None:
        self._root = path if path.is_dir() else path.parent
        with convert_os_errors():
            files = _find(path)
            self.fingerprint = fingerprint(files, self._root)
        self._tables = [read_footer(file) for file in files]
        self.count = sum(sum(table.groups) for table in self._tables)
        if not self.count:
            raise DataError(f'{path} has no images: it has no rows')
        self._labels = labels_of(path, self._tables, classes)
        self.classes = self._labels[0].classes

    def shards(self) -> list['ParquetShard']:
        names = [str(table.file.relative_to(self._root)) for table in self._tables]
        rows = [sum(table.groups) for table in self._tables]
        sources = sources_of_files(zip(names, rows, strict=True))
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
        name: path of the file, for the names of images.
        source: of its images.
        column: name of the label column.
        groups: numbers of the row groups.
        first: number of their first row in the file.
        batch: number of rows to read at once.
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
            yield self._to_image(row[IMAGE], row[self.column], f'{self.name}:{number}')

    def _rows(self) -> Iterator[dict[str, Any]]:
        columns = [IMAGE, self.column]
        try:
            with pq.ParquetFile(self.file, buffer_size=BUFFER) as parquet:
                for batch in parquet.iter_batches(self.batch, list(self.groups), columns):
                    yield from batch.to_pylist()
        except UNREADABLE as error:
            raise unreadable(self.file, error) from error

    def _to_image(
        self, image: Any, label: int | str | None, place: str
    ) -> LabelledImage | BadImage:
        is_struct = isinstance(image, dict)
        contents, path = (image['bytes'], image.get('path')) if is_struct else (image, '')
        if contents is None:
            only = f', only the path {path}' if path else ''
            return BadImage(place, 'unreadable', f'the row has no bytes of an image{only}')
        filename = f'{place} ({path})' if path else place
        index = self.labels.index(label)
        if index is None:
            detail = self.labels.describe_unknown(label)
            return BadImage(filename, 'label outside the list', detail, contents)
        return LabelledImage(contents, index, filename, source=self.source)


def _find(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f'{path} does not exist; give a Parquet file, or a folder of such files')
    files = sorted(files_in(path, PARQUET_SUFFIXES))
    if not files:
        raise DataError(f'data folder {path} has no Parquet files; expected {path}/*.parquet')
    return files


def _parts(groups: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], int]]:
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
