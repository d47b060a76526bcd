"""Detects the source and the layout of the option `--data`. Imports neither TensorFlow nor TFX."""

import itertools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from common import object_storage
from common.errors import DataError
from components.image_example_gen.sources.base.csv_columns import read_header
from components.image_example_gen.sources.base.data_config import ONLY_FOR, URL, number_of_span
from components.image_example_gen.sources.base.file_names import pattern_of_names
from components.image_example_gen.sources.base.image_files import (
    IMAGE_SUFFIXES,
    PARQUET_SUFFIXES,
    RECORDS,
    files_in,
    is_ignored,
    is_image,
)
from components.image_example_gen.sources.base.parts import is_part
from components.image_example_gen.sources.base.source_protocol import describe_classes

_CLASS_FOLDERS = ('folder', 'archive')
# Includes unsupported archives, for which the source raises an error.
_ARCHIVE = re.compile(r'.*\.(zip|tar|tgz|tbz2?|txz|tar\.\w+|rar|7z)', re.IGNORECASE)
_CSV = re.compile(r'.*\.(csv|tsv)', re.IGNORECASE)


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
            return _detect_in_folder(path)
        if _CSV.fullmatch(path.name):
            return _csv(path) or Detected('csv', 'a CSV file')
    except OSError:
        return Detected('folder', 'a folder')
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


def _detect_in_folder(path: Path) -> Detected:
    if any(each.is_dir() for pattern in ('Split-*', '*/Split-*') for each in path.glob(pattern)):
        return Detected('canonical', 'records that ImageExampleGen wrote')
    has_parquet = False
    for file in files_in(path, IMAGE_SUFFIXES | PARQUET_SUFFIXES):
        if file.suffix.lower() in PARQUET_SUFFIXES:
            has_parquet = True
        elif file.parent != path:
            return _detect_layout(path)
    if has_parquet:
        return Detected('parquet', 'a folder of Parquet files')
    if any(RECORDS.fullmatch(each.name) for each in path.rglob('*')):
        return Detected('tfrecord', 'a folder of TFRecord files')
    return _detect_layout(path)


def _detect_layout(path: Path) -> Detected:
    """The layout of a folder without Parquet files and TFRecords."""
    folders = [each for each in sorted(path.iterdir()) if each.is_dir() and _has_images(each)]
    spans = {number_of_span(each.name): each for each in folders}
    newest = max((number for number in spans if number is not None), default=None)
    if newest is not None:
        inner = _detect_layout(spans[newest])
        return inner._replace(layout=f'spans with {inner.layout}')
    parts = [each for each in folders if is_part(each.name)]
    if len(parts) > 1 and parts == folders:
        names = ', '.join(each.name for each in parts)
        if any(each.is_dir() and _has_images(each) for part in parts for each in part.iterdir()):
            return Detected('folder', f'{names} with a folder per class in each')
        return _flat(parts, f'{names} with ') or _csv_in(path) or Detected('folder', names)
    if len(folders) > 1:
        return Detected('folder', 'a folder per class')
    flat = _flat([path], '') if not folders else None
    return flat or _csv_in(path) or Detected('folder', 'a folder')


def _has_images(folder: Path) -> bool:
    return not is_ignored(folder.name) and next(files_in(folder, IMAGE_SUFFIXES), None) is not None


def _flat(folders: Iterable[Path], where: str) -> Detected | None:
    """For folders whose images are all called CLASS.N.jpg; None for others."""
    files = itertools.chain.from_iterable(folder.iterdir() for folder in folders)
    names = [each.name for each in files if is_image(each.name) and not is_ignored(each.name)]
    pattern = pattern_of_names(names)
    if pattern is None:
        return None
    classes = describe_classes(sorted({match[1] for n in names if (match := re.match(pattern, n))}))
    return Detected('folder', f'{where}images named CLASS and number, {classes}', pattern)


def _csv_in(folder: Path) -> Detected | None:
    """For a folder with one CSV file, if this has the usual columns."""
    files = [each for each in folder.iterdir() if each.suffix.lower() == '.csv']
    found = _csv(files[0]) if len(files) == 1 else None
    return found and found._replace(layout=f'{files[0].name}: {found.layout}')


def _csv(file: Path) -> Detected | None:
    try:
        return Detected('csv', read_header(file, None).describe())
    except DataError:
        return None
