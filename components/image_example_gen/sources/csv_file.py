"""Source for a CSV file, or a list of lines, of paths and classes of images."""

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common.errors import DataError, TooFewImages
from common.files import sha256_of
from components.image_example_gen.sources.base.csv_columns import CsvColumns, Table, read_table
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.groups import group_of_name, group_of_value
from components.image_example_gen.sources.base.labelled_files import FileSource, ImageFile
from components.image_example_gen.sources.base.listing import (
    File,
    LocalFolder,
    file_of,
    is_ignored,
    is_image,
)
from components.image_example_gen.sources.base.parts import (
    Kind,
    kind_of,
    kind_of_value,
    limit_sources,
)
from components.image_example_gen.sources.base.reading import (
    READ_ERRORS,
    convert_os_errors,
    error_text,
)
from components.image_example_gen.sources.base.source_protocol import BadImage

TABLES = ('.csv', '.tsv', '.txt')  # suffixes
_MOST_FOLDERS = 100  # where images are searched
_ENDINGS = ('', '.jpg', '.jpeg', '.png')  # of identifiers
_SAMPLE = 50  # rows that show where the images are
_LONGEST_PATH = 4096  # no longer path can be opened


class CsvSource(FileSource):
    """The images that tables list, with a class, and perhaps a part and a group, for each.

    Tables are CSV files or lists of lines `path label`. Paths are relative to the folder of the
    table, which they may lead out of, or to a folder in it or next to it. The parts are those of a
    column, or of the names of several tables, such as `train.csv` and `test.csv`. A row whose image
    is missing or has no suffix of an image is a bad image.

    Args:
        config: the section `data` of a recipe; `path` is a table, or a folder with one.
        complete, where, digest: as for FolderSource.

    Raises:
        DataError: a table is missing, cannot be read, is not CSV, or lacks a column, there are no
            images or fewer than two classes, or a class has no images.
    """

    def __init__(
        self,
        config: DataConfig,
        *,
        complete: bool = True,
        where: str = '',
        digest: str | None = None,
    ) -> None:
        assert config.path
        tables = find_tables(config)
        folder = config.path if config.path.is_dir() else config.path.parent
        notes: list[str] = []
        rows: list[ImageFile | BadImage] = []
        for table in tables:
            kind = kind_of(os.path.relpath(table.file, folder)) if len(tables) > 1 else None
            if table.label is None and kind in (None, 'train'):
                raise DataError(
                    f'{table.file}: line 1 has the columns {", ".join(table.names[:10])}, and none '
                    'of a usual name for the classes of images; set data.columns.label, as with '
                    '--set data.columns.label=NAME'
                )
            rows += _read(table, folder, kind, config, notes)
        files = ', '.join(str(table.file) for table in tables)
        if not rows:
            raise TooFewImages(f'{files} has no images: it has only a header')
        bad = [row for row in rows if isinstance(row, BadImage)]
        if len(bad) == len(rows):
            raise TooFewImages(
                f'{files}: none of its {len(rows):,} images can be used, such as '
                f'{bad[0].filename}: {bad[0].detail}; paths are relative to its folder'
            )
        super().__init__(
            where or files,
            LocalFolder(folder.absolute()),
            rows,
            config,
            complete=complete,
            notes=notes,
            state=(config.columns, [sha256_of(table.file) for table in tables]),
            digest=digest,
        )


def find_tables(config: DataConfig) -> list[Table]:
    """The tables of images: `path`; or those in the folder `path`, or directly below it.

    Several tables are the parts of one data set. Raises DataError if there is none, several that
    are no parts, or one that lacks a column.
    """
    path, columns = config.path, config.columns or CsvColumns()
    group = config.group_by.column if config.group_by else None
    assert path
    if path.is_file():
        return [read_table(path, columns, group)]
    if not path.exists():
        raise DataError(f'{path} does not exist; give a CSV file, or a folder with one')
    error = DataError(f'{path} has no CSV file; give the path of one')
    for folders in ([path], _inner(path, 1)):
        found = []
        for file in (each for folder in folders for each in _entries(folder)):
            if file.suffix.lower() in TABLES and file.is_file():
                try:
                    found.append(read_table(file, columns, group))
                except DataError as raised:  # perhaps a file of another kind, such as readme.txt
                    error = raised if file.suffix.lower() != '.txt' else error
        parts = [table for table in found if kind_of(os.path.relpath(table.file, path))]
        found = parts or [table for table in found if table.label is not None] or found
        if len(found) == 1 or parts:
            return found
        if found:
            names = ', '.join(table.file.name for table in found[:5])
            raise DataError(f'{path} has {names}; give the path of one CSV file')
    raise error


def labels_by_folder(table: Table) -> Mapping[str, set[str]]:
    """The labels of images of a table, in a sample of those that exist, by their folders.

    Raises DataError as `Table.rows`.
    """
    rows = list(_rows(table, DataConfig()))
    rows = rows[:: max(len(rows) // (4 * _SAMPLE), 1)]
    places = _find_places(table.file.parent, [row.path for row in rows[::4]], None)
    labels = defaultdict[str, set[str]](set)
    for row in rows:
        file = _find(Path(), row.path, [(str(place), ending) for place, ending in places])
        if isinstance(file, File):
            labels[file.name.rpartition('/')[0]].add(row.label)
    return labels


class _Row(NamedTuple):
    path: str
    label: str
    split: str
    group: str | None


def _rows(table: Table, config: DataConfig) -> Iterator[_Row]:
    for number, row in enumerate(table.rows(), 1):
        path = row[table.image].strip().replace('\\', '/').removeprefix('./')[:_LONGEST_PATH]
        label = '' if table.label is None else row[table.label].strip()
        split = '' if table.split is None else row[table.split].strip()
        group = group_of_name(config.group_by, path)
        if table.group is not None:
            group = group_of_value(row[table.group])
        yield _Row(path or f'row {number}', label, split, group)


def _read(
    table: Table, root: Path, kind: Kind | None, config: DataConfig, notes: list[str]
) -> Iterator[ImageFile | BadImage]:
    """Yields the images of a table, with names relative to `root`."""
    rows = list(_rows(table, config))
    kinds = _kinds(table, rows, kind, notes)
    sample = [row.path for row in rows[:: max(len(rows) // _SAMPLE, 1)]]
    found = _find_places(table.file.parent, sample, kind) or [(table.file.parent, '')]
    places = [(os.path.relpath(place, root), ending) for place, ending in found]
    files = [_find(root, row.path, places) for row in rows]
    folders = [each[0].rpartition('/')[0].rpartition('/')[2] for each in files]
    sources = limit_sources(Counter(folders)) | {'': root.absolute().name}
    for row, file, folder in zip(rows, files, folders, strict=True):
        if isinstance(file, BadImage):
            yield file
        elif row.split in kinds:
            yield ImageFile(file, row.label, kinds[row.split], sources[folder], row.group)


def _kinds(
    table: Table, rows: Sequence[_Row], kind: Kind | None, notes: list[str]
) -> Mapping[str, Kind | None]:
    """The part that each value of the column means, without values of rows that are left out."""
    if table.split is None:
        return {'': kind}
    column, counts = table.names[table.split], Counter(row.split for row in rows)
    kinds = {value: kind_of_value(column, value) for value in counts}
    others = [f'{value!r} ({counts[value]:,})' for value in kinds if not kinds[value]][:5]
    if len(others) == len(kinds):
        notes.append(f'column {column} names no parts: its values are {", ".join(others)}')
        return dict.fromkeys(kinds, kind)
    if others:
        notes.append(f'rows that are in no part are left out: {column} is {", ".join(others)}')
    return {value: found for value, found in kinds.items() if found}


def _find_places(folder: Path, sample: Sequence[str], kind: Kind | None) -> list[tuple[Path, str]]:
    """The folders that hold images of a table, and the endings that names lack; most images first.

    The folder of the table, or else folders in it, or else folders next to it.
    """
    for candidates in ([folder], _inner(folder, 2), [folder.parent, *_inner(folder.parent, 1)]):
        found = Counter(
            (place, ending)
            for place in candidates
            for ending in _ENDINGS
            for path in sample
            if os.path.isfile(os.path.join(place, path + ending))  # noqa: PTH113, PTH118
        )
        if found:
            pairs = [pair for pair, _ in found.most_common()]
            return sorted(pairs, key=lambda pair: kind_of(pair[0].name) != kind)
    return []


def _entries(folder: Path) -> list[Path]:
    with convert_os_errors():
        return sorted(each for each in folder.iterdir() if not is_ignored(each.name))


def _inner(folder: Path, levels: int) -> list[Path]:
    inner = [each for each in _entries(folder) if each.is_dir()][:_MOST_FOLDERS]
    return inner + [each for one in inner if levels > 1 for each in _inner(one, levels - 1)]


def _find(root: Path, path: str, places: Sequence[tuple[str, str]]) -> File | BadImage:
    """The file of an image; its size and stamp, without reading it."""
    problem = ''
    for place, ending in places:
        name = os.path.join('' if place == '.' else place, path + ending)  # noqa: PTH118
        if not is_image(name):  # only such files of a folder are read, too
            detail = 'its name does not end like that of an image, such as .jpg'
            return BadImage(path, 'not an image', detail)
        try:
            status = os.stat(os.path.join(root, name))  # noqa: PTH116, PTH118  much faster
        except READ_ERRORS as error:
            problem = problem or error_text(error)
            continue
        if stat.S_ISREG(status.st_mode):
            return file_of(name, status)
        problem = 'it is no file'
    return BadImage(path, 'unreadable', f'it cannot be read: {problem}')
