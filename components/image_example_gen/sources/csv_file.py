"""Source for a CSV file of paths and classes of images."""

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from common.errors import DataError, TooFewImages
from common.files import sha256_of
from components.image_example_gen.sources.base.csv_columns import (
    CsvColumns,
    Table,
    lines_of,
    open_csv,
    read_header,
    rows_of,
)
from components.image_example_gen.sources.base.file_names import groups_in_names
from components.image_example_gen.sources.base.groups import (
    GroupConfig,
    group_of_value,
)
from components.image_example_gen.sources.base.image_files import is_image, optional_decoders
from components.image_example_gen.sources.base.image_folder import LocalFolder
from components.image_example_gen.sources.base.labelled_files import ImageFile, LabelledFiles
from components.image_example_gen.sources.base.origins import limit_sources
from components.image_example_gen.sources.base.parts import parts_of
from components.image_example_gen.sources.base.reading import (
    MAX_BYTES,
    READ_ERRORS,
    convert_os_errors,
    error_text,
)
from components.image_example_gen.sources.base.source_protocol import BadImage, Part, class_name

_MOST_ROWS = 2_000_000
_MOST_PARTS = 20
_MOST_DIGITS = 9  # of an index of a class
_LONGEST_PATH, _LONGEST_LABEL = 4096, 100  # characters in messages; no longer path can be opened


class CsvSource(LabelledFiles):
    """The images that a CSV file lists, with a class, and perhaps a part and a group, for each.

    Paths are relative to the folder of the file, and may lead out of it. A row without a class, or
    whose image is missing or has no suffix of an image, is a bad image.

    Args:
        path: the file, or a folder with one.
        classes: names in the order of the labels; None: the sorted names in the file. If all labels
            of the file are numbers and none of these names, a number is the index of its name.
        columns: names of the columns; None: the usual names.
        group_by: the groups of images, if any.
        max_bytes: limit of an image; a larger one is a bad image and is not read.
        complete: whether each class must have images; False for one span of several.

    Raises:
        DataError: the file is missing, cannot be read, is not CSV, lacks a column, or has unknown
            parts, there are fewer than two classes, or a class has no images.
    """

    def __init__(
        self,
        path: Path,
        classes: tuple[str, ...] | None = None,
        *,
        columns: CsvColumns | None = None,
        group_by: GroupConfig | None = None,
        max_bytes: int = MAX_BYTES,
        complete: bool = True,
    ) -> None:
        file = find_csv(path)
        table = read_header(file, columns, group_by.column if group_by else None)
        rows = list(_read_rows(file, table))
        if not rows:
            raise TooFewImages(f'{file} has no images: it has only a header')
        parts = _parts(file, rows) if table.split is not None else {}
        names = _class_names(rows, classes)
        folder = file.absolute().parent
        problems, digest = _check_files(folder, rows)
        sources = limit_sources(Counter(row.folder for row in rows))
        files: list[ImageFile | BadImage] = []
        found = groups_in_names(group_by, [PurePosixPath(row.path).name for row in rows])
        for row, problem, group in zip(rows, problems, found, strict=True):
            name = names.get(row.label)
            if problem:
                files.append(problem)
            elif not name:
                label = row.label[:_LONGEST_LABEL]
                detail = f'its label is {label}' if label else 'it has no label'
                files.append(BadImage(row.path, 'label outside the list', detail))
            else:
                source = sources[row.folder] or folder.name
                part = parts.get(row.split)
                files.append(ImageFile(row.path, name, part, source, row.group or group))
        if not any(isinstance(each, ImageFile) for each in files):
            raise TooFewImages(_no_images(file, folder, files))
        decoders = optional_decoders(row.path for row in rows)
        state = f'{sha256_of(file)}\n{columns!r}\n{digest}\n{decoders}'
        self.fingerprint = hashlib.sha256(state.encode()).hexdigest()
        super().__init__(
            str(file),
            LocalFolder(folder),
            files,
            classes,
            max_bytes=max_bytes,
            complete=complete,
            expected=f'two names in column {table.names[table.label]}',
        )


def _no_images(file: Path, folder: Path, files: Sequence[ImageFile | BadImage]) -> str:
    first = next(each for each in files if isinstance(each, BadImage))
    return (
        f'{file}: none of its {len(files):,} images can be used, such as {first.filename}: '
        f'{first.detail}; paths are relative to {folder}'
    )


class _Row(NamedTuple):
    path: str
    label: str
    split: str
    group: str | None

    @property
    def folder(self) -> str:
        """Name of the folder of the image, if the path has one."""
        return self.path.rpartition('/')[0].rpartition('/')[2]


def find_csv(path: Path) -> Path:
    """The CSV file: `path`, or the only one in the folder `path`; raises DataError without one."""
    if path.is_file():
        return path
    if not path.exists():
        raise DataError(f'{path} does not exist; give a CSV file, or a folder with one')
    with convert_os_errors():
        files = sorted(each for each in path.glob('*.csv') if each.is_file())
    if len(files) != 1:
        found = ', '.join(each.name for each in files[:5]) or 'no CSV file'
        raise DataError(f'{path} has {found}; give the path of one CSV file')
    return files[0]


def _read_rows(file: Path, table: Table) -> Iterator[_Row]:
    with open_csv(file) as opened:
        rows = rows_of(file, lines_of(file, opened), table.delimiter)
        next(rows)
        for number, row in enumerate(filter(None, rows), 1):
            if len(row) != len(table.names):
                raise DataError(
                    f'{file}: row {number:,} after the header has {len(row)} fields, and the '
                    f'header has {len(table.names)}'
                )
            if number > _MOST_ROWS:
                raise DataError(f'{file} has more than {_MOST_ROWS:,} rows; divide it')
            yield _Row(
                row[table.path].strip()[:_LONGEST_PATH] or f'row {number}',
                class_name(row[table.label].strip()),
                row[table.split].strip().lower() if table.split is not None else '',
                group_of_value(row[table.group]) if table.group is not None else None,
            )


def _parts(file: Path, rows: Sequence[_Row]) -> dict[str, Part]:
    found = {row.split for row in rows}
    if len(found) > _MOST_PARTS:
        raise DataError(f'{file} is divided into {len(found):,} parts; set data.columns.split: ""')
    if '' in found:
        row = next(number for number, row in enumerate(rows, 1) if not row.split)
        raise DataError(f'{file}: row {row:,} after the header names no part; expected one in all')
    return parts_of(str(file), found)


def _class_names(rows: Sequence[_Row], wanted: tuple[str, ...] | None) -> dict[str, str]:
    """The class name of each label of the file; numbers may be indices of `wanted`."""
    labels = {row.label for row in rows if row.label}
    if wanted and not labels & set(wanted) and all(each.isdecimal() for each in labels):
        numbers = {label: int(label) for label in labels if len(label) <= _MOST_DIGITS}
        return {each: wanted[n] for each, n in numbers.items() if n < len(wanted)}
    return {label: label for label in labels}


def _check_files(folder: Path, rows: Sequence[_Row]) -> tuple[list[BadImage | None], str]:
    """The problem of each image, without reading it, and a digest of the state of all."""
    digest = hashlib.sha256()
    problems: list[BadImage | None] = []
    for row in rows:
        problem, state = None, ''
        try:
            status = os.stat(os.path.join(folder, row.path))  # noqa: PTH116, PTH118  much faster
            state = f'{status.st_size} {status.st_mtime_ns} {stat.S_IMODE(status.st_mode):o}'
            if not stat.S_ISREG(status.st_mode):
                problem = BadImage(row.path, 'unreadable', 'it cannot be read: it is no file')
        except READ_ERRORS as error:
            detail = f'it cannot be read: {error_text(error)}'
            problem = BadImage(row.path, 'unreadable', detail)
        if not is_image(row.path):  # only such files of a folder are read, too
            detail = 'its name does not end like that of an image, such as .jpg'
            problem = BadImage(row.path, 'not an image', detail)
        digest.update(f'{row.path}\0{state}\n'.encode(errors='surrogateescape'))
        problems.append(problem)
    return problems, digest.hexdigest()
