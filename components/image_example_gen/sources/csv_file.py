"""Source for a CSV file, or a list of lines, of paths and classes of images."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from common.errors import DataError
from common.files import sha256_of
from components.image_example_gen.sources.base.columns import Table, read_table
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.listing import (
    File,
    LocalFolder,
    is_image,
    list_files,
    source_of_name,
    stat_file,
)
from components.image_example_gen.sources.base.parts import (
    Kind,
    group_of_name,
    kind_of,
    limit_sources,
)
from components.image_example_gen.sources.base.source import ImageFile, Source, open_files

_LONGEST_PATH = 4096  # no longer path can be opened
_LONGEST_END = 8  # names of a path that is searched


def open_source(config: DataConfig) -> Source:
    """Opens the images that tables list, with a class, and perhaps a part and a group, for each.

    Tables are CSV files or lists of lines `path label`. Paths are relative to the folder of the
    table, which they may lead out of, or to any folder below `path`. The parts are those of a
    column, or of the names of several tables, such as `train.csv` and `test.csv`. A row whose image
    is missing or has no suffix of an image is a bad image.

    Raises DataError if a table is missing, cannot be read, is not CSV, or lacks a column, or there
    are no images.
    """
    assert config.path
    tables = _find_tables(config.path, config)
    root = config.path if config.path.is_dir() else config.path.parent
    rows = [row for table in tables for row in _rows(table, root, len(tables), config)]
    files = ', '.join(str(table.file) for table in tables)
    if not any(row.file.stamp for row in rows):
        if not rows:
            raise DataError(f'{files}: no image is listed below the header; add a line for each')
        raise DataError(
            f'{files}: none of its {len(rows):,} images exists, such as {rows[0].file.name}; paths '
            'are relative to its folder, or to one in the folder that is given'
        )
    return open_files(
        files,
        LocalFolder(root.absolute()),
        rows,
        config,
        layout=f'{", ".join(table.file.name for table in tables)}: {tables[0].layout}',
        state=(config.columns, [sha256_of(table.file) for table in tables]),
    )


def _find_tables(path: Path, config: DataConfig) -> list[Table]:
    """The table `path`, or those in this folder, or else directly below it.

    Several tables are the parts of one data set. Raises DataError if there is none, several that
    are no parts, or one that lacks a column.
    """
    if not path.is_dir():
        return [read_table(path, config)]
    error = DataError(f'{path} has no CSV file; give the path of one')
    listed = list_files(LocalFolder(path), lambda n: source_of_name(n) == 'csv')
    for depth in (0, 1):
        found = []
        for file in (file for file in listed if file.name.count('/') == depth):
            try:
                found.append(read_table(path / file.name, config))
            except DataError as raised:  # perhaps a file of another kind, such as readme.txt
                error = raised if not file.name.lower().endswith('.txt') else error
        parts = [table for table in found if kind_of(os.path.relpath(table.file, path))]
        found = parts or [table for table in found if table.has_labels()] or found
        if len(found) == 1 or parts:
            return found
        if found:
            names = ', '.join(table.file.name for table in found[:5])
            raise DataError(f'{path} has {names}; give the path of one CSV file')
    raise error


def _rows(table: Table, root: Path, tables: int, config: DataConfig) -> Iterator[ImageFile]:
    kind = kind_of(os.path.relpath(table.file, root))
    by_column = any(kind_of(row.part) for row in table.rows)
    if not table.has_labels() and (tables == 1 or kind == 'train'):  # others may be a test part
        raise DataError(
            f'{table.file} has no column of a usual name for the classes; give its name: '
            '--set data.columns.label=NAME'
        )
    files = _files(table, root, kind)
    folders = [file.name.rpartition('/')[0].rpartition('/')[2] for file in files]
    sources = limit_sources(Counter(folders)) | {'': root.absolute().name}
    for row, file, folder in zip(table.rows, files, folders, strict=True):
        part = row.part if by_column else kind or row.part
        group = row.group or group_of_name(config.group_by, file.name)
        yield ImageFile(file, row.label, part, sources[folder], group)


def _files(table: Table, root: Path, kind: Kind | None) -> list[File]:
    """The file of each row, relative to the folder of the table, or else to any one in `root`."""
    here = os.path.relpath(table.file.parent, root)
    paths = []
    for number, row in enumerate(table.rows, 1):
        path = row.path.replace('\\', '/').removeprefix('./')[:_LONGEST_PATH]
        paths.append(path or f'row {number}')
    names = [path if here == '.' else os.path.join(here, path) for path in paths]  # noqa: PTH118
    files = [stat_file(root, name) for name in names]
    if any(file.stamp for file in files):
        return files
    by_end = defaultdict[str, list[File]](list)  # ends of paths; identifiers have no suffix
    for file in list_files(LocalFolder(root)):
        parts = _stem(file.name).split('/')[-_LONGEST_END:]
        for level in range(len(parts)):
            by_end['/'.join(parts[level:])].append(file)
    found: dict[str, File] = {}
    for path in set(paths):
        alike = [f for f in by_end[_stem(path)] if f.name.endswith(path) or not is_image(path)]
        if alike:  # the first of the part, or of all
            found[path] = min(alike, key=lambda f: kind_of(f.name.rpartition('/')[0]) != kind)
    return [found.get(path, file) for path, file in zip(paths, files, strict=True)]


def _stem(name: str) -> str:
    return name.rpartition('.')[0] if is_image(name) else name
