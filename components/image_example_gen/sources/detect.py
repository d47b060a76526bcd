"""Detects the source of the option `--data`. Imports neither TensorFlow nor TFX."""

import re
from pathlib import Path
from typing import Any

from common import object_storage
from components.image_example_gen.sources.base.config import ONLY_FOR, URL
from components.image_example_gen.sources.base.image_files import (
    IMAGE_SUFFIXES,
    PARQUET_SUFFIXES,
    RECORDS,
    files_in,
)

_CLASS_FOLDERS = ('folder', 'archive')
# Includes unsupported archives, for which the source raises an error.
_ARCHIVE = re.compile(r'.*\.(zip|tar|tgz|tbz2?|txz|tar\.\w+|rar|7z)', re.IGNORECASE)


def data_overrides(data: str, before: str | None = None) -> list[tuple[str, Any]]:
    """The keys of a recipe that `--data` (a path or a URL) sets or removes.

    The classes of the source before are kept unless only the new source has class folders; a digest
    and feature names are kept if the source is the same.
    """
    is_object = object_storage.URL.match(data)
    is_url = is_object or URL.match(data)
    source = _detect_source(Path(data)) if not is_url else 'folder' if is_object else 'archive'
    values: dict[str, Any] = {'path': None, 'url': None, 'dataset': None, 'span_range': None}
    if source in ONLY_FOR['span_range']:
        del values['span_range']
    values |= {'source': source, 'url' if is_url else 'path': data}
    if before not in (None, source):
        values |= {'sha256': None, 'features': {}}
    if source in _CLASS_FOLDERS and before not in (None, *_CLASS_FOLDERS):
        values['classes'] = None
    return [(f'data.{key}', value) for key, value in values.items()]


def _detect_source(path: Path) -> str:
    """Returns `folder` for missing or unknown files: FolderSource raises the error."""
    try:
        if path.is_dir():
            return _source_of_folder(path)
    except OSError:
        return 'folder'
    if _ARCHIVE.fullmatch(path.name):
        return 'archive'
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return 'parquet'
    return 'tfrecord' if RECORDS.fullmatch(path.name) else 'folder'


def _source_of_folder(path: Path) -> str:
    if any(each.is_dir() for pattern in ('Split-*', '*/Split-*') for each in path.glob(pattern)):
        return 'canonical'
    source = 'folder'
    for file in files_in(path, IMAGE_SUFFIXES | PARQUET_SUFFIXES):
        if file.suffix.lower() in PARQUET_SUFFIXES:
            source = 'parquet'
        elif file.parent != path:  # images outside of folders have no class
            return 'folder'
    if source == 'folder' and any(RECORDS.fullmatch(each.name) for each in path.rglob('*')):
        return 'tfrecord'
    return source
