"""Columns of tables of images: `data.columns` of a recipe, and the header of a CSV file."""

import csv
import io
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from common.errors import DataError
from common.files import MEGABYTE, open_regular
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
_MOST_MEGABYTES, _MOST_ROWS = 200, 2_000_000  # of a file
_SAMPLE = 20  # rows that are read to recognise columns


class CsvColumns(StrictModel):
    """Names of the columns; by default, usual names are recognised in any case."""

    image: str | None = Field(
        None,
        min_length=1,
        description='csv: path of an image; parquet: its bytes; default: image, path, file, ...',
    )
    label: str | None = Field(
        None, min_length=1, description='its class; default: label, class, category, ...'
    )
    split: str | None = Field(
        None,
        description="train, validation or test; default: split, set, is_valid, ...; '': none",
    )


class Row(NamedTuple):
    """One image of a table; empty texts where the table has no column."""

    path: str
    label: str
    split: str
    group: str


class Table(NamedTuple):
    """The images of a CSV file, or of a list of lines `path label`."""

    file: Path
    layout: str  # human-readable, such as `images from column path, classes from column label`
    split: str  # name of the column of parts; empty without one
    rows: list[Row]

    def has_labels(self) -> bool:
        """Whether it has the class of an image."""
        return not self.rows or any(row.label for row in self.rows)


def read_table(file: Path, columns: CsvColumns, group: str | None = None) -> Table:
    """Reads a CSV file; `group` is the column of `data.group_by`, if any.

    A file without a header has the path of an image in its first line. A path may be recognised by
    its values, the class because no other column is left.

    Raises DataError if the file cannot be read, repeats a column, or has no paths of images.
    """
    rows = read_rows(file)
    names = [name.strip() for name in next(rows, [])]
    sample = list(itertools.islice(rows, _SAMPLE))
    images = [number for number, name in enumerate(names) if is_image(name)]
    image: int | None
    label: int | None
    split = of_group = None
    if images and len(names) > 1:
        sample = [names, *sample]
        names = [str(number) for number in range(1, len(names) + 1)]
        image, label = images[0], (images[0] + 1) % len(names)
    else:
        repeated, times = Counter(names).most_common(1)[0] if names else ('', 0)
        if times > 1:
            raise DataError(f'{file}: line 1 has the column {repeated[:40]!r} twice; rename one')
        image = find_column(file, names, columns.image, IMAGES)
        if columns.image is None:
            values = enumerate(zip(*sample, strict=False))
            image = next((n for n, each in values if all(map(is_image, each))), image)
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
    used = (image, label, split, of_group)
    found = []
    for number, row in enumerate(itertools.chain(sample, rows), 1):
        if len(row) != len(names):
            raise DataError(f'{file}: row {number:,} has {len(row)} fields; expected {len(names)}')
        found.append(Row(*('' if n is None else row[n].strip() for n in used)))
    of_image, of_label, of_split, _ = ('' if n is None else names[n] for n in used)
    layout = f'images from column {of_image}, classes from column {of_label}'
    return Table(file, layout, of_split, found)


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


def _listed(names: Sequence[str]) -> str:
    shown = ', '.join(repr(name[:40]) for name in names[:10])
    return shown + (', ...' if len(names) > 10 else '')


def read_rows(file: Path) -> Iterator[list[str]]:
    """Yields the fields of lines that are not empty; the first line shows what divides them.

    Without commas, semicolons and tabs, a line has a path, spaces and a label. Raises DataError
    if the file is too large, or is neither UTF-8 (with or without a byte order mark) nor CSV.
    """
    try:
        with io.TextIOWrapper(open_regular(file), encoding='utf-8-sig', newline='') as text:
            if os.fstat(text.fileno()).st_size > _MOST_MEGABYTES * MEGABYTE:
                raise DataError(f'{file} has more than {_MOST_MEGABYTES} MB; divide it')
            first = re.sub('"[^"]*"', '', text.readline())
            text.seek(0)
            delimiter = max(',;\t', key=first.count)
            rows: Iterator[list[str]] = (line.rsplit(None, 1) for line in text)
            if delimiter in first:
                rows = csv.reader(text, delimiter=delimiter, strict=True)
            for number, row in enumerate(filter(None, rows)):
                if number > _MOST_ROWS:
                    raise DataError(f'{file} has more than {_MOST_ROWS:,} rows; divide it')
                yield row
    except UnicodeDecodeError:
        raise DataError(f'{file} is not UTF-8; save it in UTF-8') from None
    except (csv.Error, OSError) as error:
        problem = getattr(error, 'strerror', None) or error
        raise DataError(f'{file} cannot be read as CSV: {problem}') from None
