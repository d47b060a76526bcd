"""Detects the source and the layout of the option `--data`. Imports neither TensorFlow nor TFX."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from common import object_storage
from common.errors import DataError
from components.image_example_gen.sources.base.data_config import ONLY_FOR, URL, DataConfig
from components.image_example_gen.sources.base.layout import Layout
from components.image_example_gen.sources.base.listing import (
    IMAGE_SUFFIXES,
    PARQUET_SUFFIXES,
    RECORDS,
    Listing,
    LocalFolder,
    is_image,
    list_files,
)
from components.image_example_gen.sources.base.parts import is_part
from components.image_example_gen.sources.base.source_protocol import describe_classes
from components.image_example_gen.sources.base.span_names import is_date, number_of_span
from components.image_example_gen.sources.csv_file import TABLES, find_tables, labels_by_folder
from components.image_example_gen.sources.folder import pattern_in

_CLASS_FOLDERS = ('folder', 'archive')
# Includes unsupported archives, for which the source raises an error.
_ARCHIVE = re.compile(r'.*\.(zip|tar|tgz|tbz2?|txz|tar\.\w+|rar|7z)', re.IGNORECASE)


class Detected(NamedTuple):
    """The source of images, and how they are laid out."""

    source: str  # of a recipe
    layout: str  # one line for users, such as `a folder per class`
    label_pattern: str | None = None  # for files called CLASS.N.jpg


def detect(data: str) -> Detected:
    """Detects how the images of a path or a URL are laid out; raises no error.

    `folder` for missing or unknown files, for which FolderSource raises the error.
    """
    if object_storage.URL.match(data):
        return Detected('folder', 'a folder in object storage')
    if URL.match(data):
        return Detected('archive', 'an archive to download')
    path = Path(data)
    try:
        if path.is_dir():
            return detect_in_folder(path)
    except (DataError, OSError):
        return Detected('folder', 'a folder')
    if path.suffix.lower() in TABLES:
        return _tables(path)[0] or Detected('csv', 'a CSV file')
    if _ARCHIVE.fullmatch(path.name):
        return Detected('archive', 'an archive')
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return Detected('parquet', 'a Parquet file')
    if RECORDS.fullmatch(path.name):
        return Detected('tfrecord', 'a TFRecord file')
    return Detected('folder', 'a folder')


def data_overrides(
    data: str, before: str | None = None, label_pattern: str | None = None
) -> list[tuple[str, Any]]:
    """The keys of a recipe that `--data` (a path or a URL) sets or removes.

    The classes of the source before are kept unless only the new source has class folders; a
    digest, names of features and columns, and a `label_pattern` are kept if the source is the same.
    """
    found = detect(data)
    source = found.source
    is_url = object_storage.URL.match(data) or URL.match(data)
    values: dict[str, Any] = {'path': None, 'url': None, 'dataset': None, 'span_range': None}
    if source in ONLY_FOR['span_range']:
        del values['span_range']
    values |= {'source': source, 'url' if is_url else 'path': data}
    if before not in (None, source):
        values |= {'sha256': None, 'features': {}, 'columns': None}
    if source not in ONLY_FOR['label_pattern']:
        values['label_pattern'] = None
    elif found.label_pattern and not label_pattern:
        values['label_pattern'] = found.label_pattern
    if source in _CLASS_FOLDERS and before not in (None, *_CLASS_FOLDERS):
        values['classes'] = None
    return [(f'data.{key}', value) for key, value in values.items()]


def detect_in_folder(path: Path) -> Detected:
    """The source of the images in a folder; raises DataError if it cannot be read."""
    listing = list_files(LocalFolder(path), _is_data)
    if any(name.rpartition('/')[2].startswith('Split-') for name in listing.folders):
        return Detected('tfrecord', 'records that ImageExampleGen wrote')
    images = [file for file in listing.files if is_image(file.name)]
    if not any('/' in file.name for file in images):
        others = {Path(file.name).suffix.lower() for file in listing.files} - IMAGE_SUFFIXES
        if others & PARQUET_SUFFIXES:
            return Detected('parquet', 'a folder of Parquet files')
        if others:
            return Detected('tfrecord', 'a folder of TFRecord files')
    listing = Listing(images, listing.folders)
    dated = sorted(name for name in listing.folders if number_of_span(name) is not None)
    spans = span_names(listing)
    if spans or dated:
        inner = detect_in_folder(path / (spans or dated)[-1])
        if spans or inner.source == 'csv' or inner.label_pattern:
            return inner._replace(layout=f'spans with {inner.layout}')
    return _detect_layout(path, listing)


def span_names(listing: Listing) -> list[str]:
    """The names of folders that are spans, oldest first; not dates if one holds images itself."""
    names = [name for name in listing.folders if '/' not in name]
    numbers = {name: number for name in names if (number := number_of_span(name)) is not None}
    dates = {name for name in numbers if is_date(name)}
    if not dates.isdisjoint(file.name.rpartition('/')[0] for file in listing.files):
        numbers = {name: number for name, number in numbers.items() if name not in dates}
    return sorted(numbers, key=numbers.__getitem__)


def _is_data(name: str) -> bool:
    suffix = Path(name).suffix.lower()
    return suffix in IMAGE_SUFFIXES | PARQUET_SUFFIXES or RECORDS.fullmatch(name) is not None


def _detect_layout(path: Path, listing: Listing) -> Detected:
    """The layout of a folder without Parquet files and TFRecords."""
    layout = Layout(listing)
    tables, is_better = _tables(path)
    labels = layout.labels
    if len(labels) > 1 and not all(map(is_part, labels)) and not (tables and is_better):
        further = f'; not read: {tables.layout}' if tables else ''
        return Detected('folder', layout.describe() + further)
    pattern, names = pattern_in(listing)
    if tables or not pattern:
        return tables or Detected('folder', layout.describe())
    classes = sorted({match[1] for name in names if (match := re.match(pattern, name))})
    what = f'images named CLASS and number, {describe_classes(classes)}'
    return Detected('folder', what, pattern)


def _tables(path: Path) -> tuple[Detected | None, bool]:
    """The CSV files of a path, if they list images that exist.

    Also whether the folders of these images cannot be their classes: one has several labels.
    """
    try:
        tables = find_tables(DataConfig(source='csv', path=path))
        labels = [found for table in tables for found in labels_by_folder(table).values()]
    except DataError:
        return None, False
    if path.is_dir() and not labels:
        return None, False
    names = ', '.join(table.file.name for table in tables)
    is_better = any(len(found) > 1 for found in labels)
    return Detected('csv', f'{names}: {tables[0].describe()}'), is_better
