"""Columns of tables of images: `data.columns` of a recipe, and the header of a CSV file."""

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import AliasChoices, Field

from common.errors import DataError
from common.files import open_regular
from common.strict_model import StrictModel
from components.image_example_gen.sources.base.listing import is_image

# Usual names, by priority.
IMAGES = (
    *('image', 'img', 'path', 'file', 'filename', 'file_name', 'filepath', 'filepaths'),
    *('file_path', 'image_path', 'image_name', 'img_path', 'image_id', 'id'),
)
LABELS = (
    *('label', 'labels', 'class', 'classes', 'class_name', 'category', 'species', 'breed'),
    *('emotion', 'diagnosis', 'dx', 'target', 'fine_label', 'class_id', 'label_name'),
)
SPLITS = ('split', 'set', 'data_set', 'dataset', 'subset', 'partition', 'is_valid', 'is_test')
_DELIMITERS = ',;\t'
_LONGEST_LINE = 2**20  # characters
_MOST_ROWS = 2_000_000
_SAMPLE = 20  # rows that are read to recognise columns


class CsvColumns(StrictModel):
    """Names of the columns; by default, usual names are recognised in any case."""

    image: str | None = Field(
        None,
        min_length=1,
        validation_alias=AliasChoices('image', 'path'),
        description='csv: path of an image; parquet: its bytes; default: image, path, file, ...',
    )
    label: str | None = Field(
        None, min_length=1, description='its class; default: label, class, category, ...'
    )
    split: str | None = Field(
        None,
        description="train, validation or test; default: split, set, is_valid, ...; '': none",
    )


class Table(NamedTuple):
    """A CSV file, or a list of lines `path label`."""

    file: Path
    delimiter: str  # empty: spaces, and the label is the last word
    names: list[str]  # of all columns; empty without a header
    image: int  # positions of the columns
    label: int | None
    split: int | None
    group: int | None

    def describe(self) -> str:
        """Human-readable, such as `images from column path, classes from column label`."""
        if not self.names:
            return 'lines of path and class'
        label = self.names[self.label] if self.label is not None else '(none)'
        split = f', parts from column {self.names[self.split]}' if self.split is not None else ''
        return f'images from column {self.names[self.image]}, classes from column {label}{split}'

    def rows(self) -> Iterator[list[str]]:
        """Yields the fields of each image; raises DataError if the file cannot be read."""
        rows = read_rows(self.file, self.delimiter)
        width = len(self.names) or len(next(read_rows(self.file, self.delimiter)))
        for number, row in enumerate(itertools.islice(rows, bool(self.names), None), 1):
            if len(row) != width:
                raise DataError(
                    f'{self.file}: row {number:,} has {len(row)} fields; expected {width}'
                )
            if number > _MOST_ROWS:
                raise DataError(f'{self.file} has more than {_MOST_ROWS:,} rows; divide it')
            yield row


def read_table(file: Path, columns: CsvColumns, group: str | None = None) -> Table:
    """Finds the columns of a CSV file; `group` is the column of `data.group_by`, if any.

    A file without a header has the path of an image in its first line. A path may be recognised by
    its values, the class because no other column is left.

    Raises DataError if the file cannot be read, repeats a column, or has no paths of images.
    """
    first = next(_lines(file), '')
    delimiter = max(_DELIMITERS, key=re.sub('"[^"]*"', '', first).count)
    delimiter = delimiter if delimiter in first else ''
    names, *sample = [*itertools.islice(read_rows(file, delimiter), 1 + _SAMPLE)] or [[]]
    names = [name.strip() for name in names]
    paths = [n for n, name in enumerate(names) if is_image(name)]
    if paths and len(names) > 1:
        after = paths[0] + 1
        return Table(file, delimiter, [], paths[0], after if after < len(names) else 0, None, None)
    if not delimiter and len(names) > 1 and not {*names} & {*IMAGES, *LABELS}:
        raise DataError(f'{file} has neither columns nor lines of path and class')
    repeated, times = Counter(names).most_common(1)[0] if names else ('', 0)
    if times > 1:
        raise DataError(f'{file}: line 1 has the column {repeated[:40]!r} twice; rename one')
    image = find_column(file, names, columns.image, IMAGES)
    if columns.image is None and sample:
        of_images = (n for n in range(len(names)) if all(map(is_image, _column(sample, n))))
        image = next(of_images, image)
    label = find_column(file, names, columns.label, LABELS)
    split = None if columns.split == '' else find_column(file, names, columns.split, SPLITS)
    of_group = find_column(file, names, group, ())
    left = set(range(len(names))) - {image, split, of_group}
    if label is None and len(left) == 1:
        (label,) = left
    if image is None:
        raise DataError(
            f'{file}: line 1 has the columns {_listed(names)}, and none with paths of images; '
            'expected such as path,label, or set data.columns.image'
        )
    return Table(file, delimiter, names, image, label, split, of_group)


def find_column(
    place: object, names: Sequence[str], wanted: str | None, usual: Sequence[str]
) -> int | None:
    """The position of the column `wanted`, else of the first usual name; None without one.

    Raises DataError if there is no column `wanted` of a recipe.
    """
    if wanted is not None:
        if wanted not in names:
            raise DataError(
                f'{place} has the columns {_listed(names)}, and no column {wanted!r}; '
                'correct data.columns or data.group_by'
            )
        return [*names].index(wanted)
    plain = [name.lower().replace(' ', '_').replace('-', '_') for name in names]
    return next((plain.index(name) for name in usual if name in plain), None)


def _column(rows: Sequence[Sequence[str]], number: int) -> list[str]:
    return [row[number].strip() if number < len(row) else '' for row in rows]


def _listed(names: Sequence[str]) -> str:
    shown = ', '.join(repr(name[:40]) for name in names[:10])
    return shown + (', ...' if len(names) > 10 else '')


def read_rows(file: Path, delimiter: str) -> Iterator[list[str]]:
    """Yields the fields of lines that are not empty; raises DataError as `Table.rows`."""
    if not delimiter:
        yield from (line.rsplit(None, 1) for line in _lines(file) if line.strip())
        return
    reader = csv.reader(_lines(file), delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(f'{file}: line {reader.line_num:,} is not CSV: {error}') from None
        if row is None:
            return
        if row:
            yield row


def _lines(file: Path) -> Iterator[str]:
    """Yields lines of UTF-8, with or without a byte order mark."""
    number = 1
    try:
        with io.TextIOWrapper(open_regular(file), encoding='utf-8-sig', newline='') as opened:
            for number in itertools.count(1):
                line = opened.readline(_LONGEST_LINE)
                if not line:
                    return
                if len(line) == _LONGEST_LINE and not line.endswith('\n'):
                    raise DataError(
                        f'{file}: line {number:,} has over {_LONGEST_LINE:,} characters'
                    )
                yield line
    except UnicodeDecodeError:
        raise DataError(
            f'{file} is not UTF-8, from line {number:,} on or a little later; save it in UTF-8'
        ) from None
    except OSError as error:
        raise DataError(f'{file} cannot be read: {error.strerror}') from None
