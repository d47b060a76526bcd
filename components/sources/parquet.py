"""Images in Parquet files, as data sets of the Hugging Face hub come."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

# Without it a file may name a class for pyarrow to unpickle, and so run code: CVE-2023-47248.
import pyarrow_hotfix  # noqa: F401

from components.sources.base import DataError, LabelledImage, describe_classes
from components.sources.files import PARQUET_SUFFIXES, files_in, fingerprint

_IMAGE = 'image'
_LABELS = ('labels', 'label')  # the first that there is
_BATCH = 64  # rows at once
_BUFFER = 2**20  # bytes; without it a whole column of a row group is read at once
_UNREADABLE = (pa.ArrowException, OSError, RuntimeError)  # the last is pyarrow_hotfix's


class ParquetSource:
    """A Parquet file, or all of those in a folder.

    The column `image` holds the bytes of an image, alone or as `bytes` in a struct beside its
    `path`; `labels` or `label` holds its class as a number. Files are read a few rows at a time.

    Args:
        path: the file, or the folder that is searched at any depth.
        classes: names in the order of the labels; None: those that the files name, as
            the library `datasets` writes them.

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
        self._tables = [_read_footer(file) for file in files]
        self.classes = classes or _named_classes(self._tables)
        self.count = sum(table.rows for table in self._tables)
        if not self.count:
            raise DataError(f'{path} holds no images: there is no row in it')
        if len(set(self.classes)) != 2 or len(self.classes) != 2:
            raise DataError(f'{path} has {describe_classes(self.classes)}; expected two different')

    def images(self) -> Iterator[LabelledImage]:
        for table in self._tables:
            name = table.file.relative_to(self._root)
            for number, row in enumerate(_rows(table)):
                place = f'{name}:{number}'
                label = self._label(row[table.label], place)
                yield _labelled(row[_IMAGE], label, place)

    def _label(self, label: int | None, place: str) -> int:
        if label is None or not 0 <= label < len(self.classes):
            given = 'no label' if label is None else f'label {label}'
            raise DataError(
                f'{place} has {given}; expected 0 or 1, for {" or ".join(self.classes)}'
            )
        return label


class _Table(NamedTuple):
    """What the footer of a file says: its rows, its column of labels and the names of these."""

    file: Path
    rows: int
    label: str
    classes: tuple[str, ...] | None


def _find(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f'{path} does not exist; give a Parquet file or a folder that holds some')
    files = sorted(files_in(path, PARQUET_SUFFIXES))
    if not files:
        raise DataError(f'data folder {path} holds no Parquet files; expected {path}/*.parquet')
    return files


def _read_footer(file: Path) -> _Table:
    try:
        with pq.ParquetFile(file) as parquet:
            schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
    except pa.ArrowInvalid as error:
        raise DataError(f'{file} is not a Parquet file') from error
    except _UNREADABLE as error:
        raise _unreadable(file, error) from error
    label = _label_column(file, schema)
    return _Table(file, rows, label, _class_names(schema, label))


def _unreadable(file: Path, error: Exception) -> DataError:
    reason = str(error).strip().partition('\n')[0].rstrip(':')
    return DataError(f'{file} cannot be read: {reason}')


def _label_column(file: Path, schema: pa.Schema) -> str:
    """The column of labels, when the columns are those that there must be."""
    label = next((name for name in _LABELS if name in schema.names), None)
    if label is None or _IMAGE not in schema.names:
        raise DataError(
            f'{file} has the columns {", ".join(schema.names)}; '
            f'expected {_IMAGE}, and {" or ".join(_LABELS)}'
        )
    if not _holds_bytes(schema.field(_IMAGE).type):
        raise DataError(
            f'{file} has no bytes in its column {_IMAGE}, which is {schema.field(_IMAGE).type}; '
            'expected binary, or a struct with bytes'
        )
    if not pa.types.is_integer(schema.field(label).type):
        raise DataError(
            f'{file} has a column {label} of {schema.field(label).type}; expected whole numbers'
        )
    return label


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == 'bytes' and _holds_bytes(field.type) for field in kind)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _class_names(schema: pa.Schema, label: str) -> tuple[str, ...] | None:
    """The names in the feature `ClassLabel` that the library `datasets` notes in the schema."""
    try:
        noted = json.loads((schema.metadata or {})[b'huggingface'])
        return tuple(noted['info']['features'][label]['names'])
    except (KeyError, TypeError, ValueError):
        return None


def _named_classes(tables: list[_Table]) -> tuple[str, ...]:
    """The names on which all files that give any agree."""
    named = {table.classes: table.file for table in tables if table.classes}
    if not named:
        raise DataError(
            f'{tables[0].file} does not name its classes; give them in the order of their labels, '
            'as in --set data.classes=[cat,dog]'
        )
    if len(named) > 1:
        (first, file), (second, other), *_ = named.items()
        raise DataError(
            f'{file} has {describe_classes(first)} but {other} has {describe_classes(second)}; '
            'give data.classes, or files that agree'
        )
    return next(iter(named))


def _rows(table: _Table) -> Iterator[dict[str, Any]]:
    try:
        with pq.ParquetFile(table.file, buffer_size=_BUFFER) as parquet:
            for batch in parquet.iter_batches(_BATCH, columns=[_IMAGE, table.label]):
                yield from batch.to_pylist()
    except _UNREADABLE as error:
        raise _unreadable(table.file, error) from error


def _labelled(image: Any, label: int, place: str) -> LabelledImage:
    contents, path = (image['bytes'], image.get('path')) if isinstance(image, dict) else (image, '')
    if contents is None:
        named = f' but the path {path}' if path else ''
        raise DataError(f'{place} holds no image{named}; expected the bytes of a JPEG or PNG file')
    return LabelledImage(contents, label, f'{place} ({path})' if path else place)
