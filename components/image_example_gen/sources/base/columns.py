"""Finds the columns of tables of images, and reads CSV files."""

import csv
import io
import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from common.errors import DataError
from common.files import MEGABYTE, open_regular
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.listing import is_image
from components.image_example_gen.sources.base.parts import part_of

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


class Columns(NamedTuple):
    """Names of the columns of a table; None or empty without one."""

    image: str | None
    label: str | None
    split: str | None = None
    group: str | None = None


class Row(NamedTuple):
    """One image of a table; empty texts where the table has no column."""

    path: str
    label: str
    part: str  # of `part_of`
    group: str


class Table(NamedTuple):
    """The images of a CSV file, or of a list of lines `path label`."""

    file: Path
    layout: str  # human-readable, such as `images from column path, classes from column label`
    rows: list[Row]

    def has_labels(self) -> bool:
        """Whether it has the class of an image."""
        return not self.rows or any(row.label for row in self.rows)


def read_table(file: Path, config: DataConfig) -> Table:
    """Reads a CSV file.

    A file without a header has the path of an image in its first line. A path may be recognised by
    its values, the class because no other column is left.

    Raises DataError if the file cannot be read, repeats a column, or has no paths of images.
    """
    rows = read_rows(file)
    names = [name.strip() for name in next(rows, [])]
    if not names:
        raise DataError(f'{file} is empty; expected a line such as path,label for each image')
    sample = list(itertools.islice(rows, _SAMPLE))
    images = [number for number, name in enumerate(names) if is_image(name)]
    if images and len(names) > 1:
        sample = [names, *sample]
        names = [str(number) for number in range(1, len(names) + 1)]
        columns = Columns(names[images[0]], names[(images[0] + 1) % len(names)])
    else:
        columns = _named_columns(file, names, sample, config)
    if columns.image is None:
        raise DataError(
            f'{file}: line 1 has the columns {_listed(names)}, and none with paths of images; '
            'expected such as path,label, or set data.columns.image'
        )
    places = [None if name is None else names.index(name) for name in columns]
    found = []
    for number, row in enumerate(itertools.chain(sample, rows), 1):
        if len(row) != len(names):
            raise DataError(f'{file}: row {number:,} has {len(row)} fields; expected {len(names)}')
        path, label, part, group = ('' if place is None else row[place].strip() for place in places)
        found.append(Row(path, label, part_of(columns.split or '', part), group))
    layout = f'images from column {columns.image}, classes from column {columns.label or ""}'
    return Table(file, layout, found)


def _named_columns(
    file: Path, names: Sequence[str], sample: Sequence[Sequence[str]], config: DataConfig
) -> Columns:
    repeated, times = Counter(names).most_common(1)[0] if names else ('', 0)
    if times > 1:
        raise DataError(f'{file}: line 1 has the column {repeated[:40]!r} twice; rename one')
    columns = find_columns(file, names, names, config)
    if config.columns.image is None:
        values = zip(names, zip(*sample, strict=False), strict=False)
        paths = (name for name, each in values if all(map(is_image, each)))
        columns = columns._replace(image=next(paths, columns.image))
    left = {*names} - {*columns}
    return columns._replace(label=left.pop()) if not columns.label and len(left) == 1 else columns


def find_columns(
    place: object, images: Sequence[str], others: Sequence[str], config: DataConfig
) -> Columns:
    """Finds the columns of a recipe, else those of usual names.

    Args:
        place: name of the table in messages.
        images: names of columns that may have images.
        others: names of columns that may have labels, parts and groups.
        config: the section `data` of a recipe.

    Raises DataError if there is no column of a name in the recipe.
    """

    def find(names: Sequence[str], wanted: str | None, usual: Sequence[str]) -> str | None:
        if wanted and wanted not in names:
            raise DataError(
                f'{place} has the columns {_listed(names)}, and no column {wanted!r}; '
                'correct data.columns or data.group_by'
            )
        plain = {name.lower().replace(' ', '_').replace('-', '_'): name for name in names[::-1]}
        return wanted or next((plain[name] for name in usual if name in plain), None)

    wanted = config.columns
    return Columns(
        find(images, wanted.image, IMAGES),
        find(others, wanted.label, LABELS),
        None if wanted.split == '' else find(others, wanted.split, SPLITS),
        find(others, config.group_by.column if config.group_by else None, ()),
    )


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
