"""Columns of a CSV file of images: `data.columns` of a recipe, and the header of a file."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from pydantic import Field

from common.errors import DataError
from common.files import open_regular
from common.strict_model import StrictModel

_PATHS = (
    *('path', 'file', 'filename', 'file_name', 'filepath', 'file_path'),
    *('image', 'image_path', 'image_name', 'img', 'img_path'),
)
_LABELS = ('label', 'labels', 'class', 'class_name', 'category', 'species', 'target')
_SPLITS = ('split', 'subset', 'partition')
_DELIMITERS = ',;\t'
_LONGEST_LINE = 2**20  # characters


class CsvColumns(StrictModel):
    """Names of the columns; by default, usual names are recognised in any case."""

    path: str | None = Field(
        None, min_length=1, description='path of an image; default: path, file, filename or image'
    )
    label: str | None = Field(
        None, min_length=1, description='its class; default: label, class or category'
    )
    split: str | None = Field(
        None,
        description="train, validation or test; default: split, subset or partition; '': none",
    )


class Table(NamedTuple):
    """The header of a CSV file."""

    delimiter: str
    names: list[str]  # of all columns
    path: int  # positions of the columns
    label: int
    split: int | None
    group: int | None

    def describe(self) -> str:
        """Human-readable, such as `images from column path, classes from column label`."""
        split = f', parts from column {self.names[self.split]}' if self.split is not None else ''
        return (
            f'images from column {self.names[self.path]}, classes from column '
            f'{self.names[self.label]}{split}'
        )


def read_header(file: Path, columns: CsvColumns | None, group: str | None = None) -> Table:
    """Finds the columns of a CSV file; `group` is the column of `data.group_by`, if any.

    Raises DataError if the file cannot be read, repeats a column, or lacks one.
    """
    with open_csv(file) as opened:
        line = next(lines_of(file, opened), '')
    delimiter = max(_DELIMITERS, key=re.sub('"[^"]*"', '', line).count)
    names = [name.strip() for name in next(rows_of(file, iter([line]), delimiter), [])]
    if not names:
        raise DataError(f'{file} has no header; expected a first line such as path,label')
    repeated, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise DataError(f'{file}: line 1 has the column {repeated[:40]!r} twice; rename one')
    return _find_columns(file, delimiter, names, columns or CsvColumns(), group)


def _find_columns(
    file: Path, delimiter: str, names: list[str], columns: CsvColumns, group: str | None
) -> Table:
    path = _position(file, names, columns.path, _PATHS)
    label = _position(file, names, columns.label, _LABELS)
    if path is None or label is None:
        lacking = 'the paths' if path is None else 'the classes'
        raise DataError(
            f'{file}: line 1 has the columns {_listed(names)}, and none of a usual name for '
            f'{lacking} of images; expected such as path,label, or set data.columns'
        )
    split = None
    if columns.split != '':
        split = _position(file, names, columns.split, _SPLITS)
    return Table(delimiter, names, path, label, split, _position(file, names, group, ()))


def _position(
    file: Path, names: list[str], wanted: str | None, usual: tuple[str, ...]
) -> int | None:
    """The position of the column `wanted`, else of the first usual name; None without one."""
    if wanted is not None:
        if wanted not in names:
            raise DataError(
                f'{file}: line 1 has the columns {_listed(names)}, and no column {wanted!r}; '
                'correct data.columns or data.group_by'
            )
        return names.index(wanted)
    plain = [name.lower().replace(' ', '_').replace('-', '_') for name in names]
    return next((plain.index(name) for name in usual if name in plain), None)


def _listed(names: list[str]) -> str:
    shown = ', '.join(repr(name[:40]) for name in names[:10])
    return shown + (', ...' if len(names) > 10 else '')


def open_csv(file: Path) -> TextIO:
    """Opens a CSV file in UTF-8, with or without a byte order mark."""
    try:
        return io.TextIOWrapper(open_regular(file), encoding='utf-8-sig', newline='')
    except OSError as error:
        raise DataError(f'{file} cannot be read: {error.strerror}') from None


def lines_of(file: Path, opened: TextIO) -> Iterator[str]:
    """Yields the lines; raises DataError if one is very long, or not UTF-8."""
    number = 0
    while True:
        number += 1
        try:
            line = opened.readline(_LONGEST_LINE)
        except UnicodeDecodeError:
            raise DataError(
                f'{file} is not UTF-8, from line {number:,} on or a little later; save it as CSV '
                'in UTF-8'
            ) from None
        except OSError as error:
            raise DataError(f'{file} cannot be read: {error.strerror}') from None
        if not line:
            return
        if len(line) == _LONGEST_LINE and not line.endswith('\n'):
            raise DataError(f'{file}: line {number:,} has more than {_LONGEST_LINE:,} characters')
        yield line


def rows_of(file: Path, lines: Iterator[str], delimiter: str) -> Iterator[list[str]]:
    """Parses lines; raises DataError if a row is not CSV, or has very long fields."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(f'{file}: line {reader.line_num:,} is not CSV: {error}') from None
        if row is None:
            return
        yield row
