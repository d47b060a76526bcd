"""Which source the option `--data` means, by what is there. Imports neither TensorFlow nor TFX."""

import re
from pathlib import Path
from typing import Any

from components.image_example_gen.sources.base.config import ONLY_FOR, URL
from components.image_example_gen.sources.base.image_files import (
    IMAGE_SUFFIXES,
    PARQUET_SUFFIXES,
    RECORDS,
    files_in,
)

_NAMED_BY_FOLDERS = ('folder', 'archive')
# The names that archives have; those that cannot be read are told so.
_ARCHIVE = re.compile(r'.*\.(zip|tar|tgz|tbz2?|txz|tar\.\w+|rar|7z)', re.IGNORECASE)


def data_overrides(data: str, before: str | None = None) -> list[tuple[str, Any]]:
    """The keys of a recipe that `--data` sets, and those that it removes.

    Args:
        data: a path or an address.
        before: the source that the recipe names. Its classes are kept, unless folders name them
            now and did not before; a digest and names of features are kept for the same source.
    """
    on_the_web = bool(URL.match(data))
    source = 'archive' if on_the_web else _kind(Path(data))
    values: dict[str, Any] = {'path': None, 'url': None, 'dataset': None, 'span_range': None}
    if source in ONLY_FOR['span_range']:
        del values['span_range']
    values |= {'source': source, 'url' if on_the_web else 'path': data}
    if before not in (None, source):
        values |= {'sha256': None, 'features': {}}
    if source in _NAMED_BY_FOLDERS and before not in (None, *_NAMED_BY_FOLDERS):
        values['classes'] = None
    return [(f'data.{key}', value) for key, value in values.items()]


def _kind(path: Path) -> str:
    """Whatever is none of them, or is missing, is a folder: its source says what is wrong."""
    try:
        return _kind_of_folder(path) if path.is_dir() else _kind_of_file(path)
    except OSError:
        return 'folder'


def _kind_of_file(path: Path) -> str:
    if _ARCHIVE.fullmatch(path.name):
        return 'archive'
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return 'parquet'
    return 'tfrecord' if RECORDS.fullmatch(path.name) else 'folder'


def _kind_of_folder(path: Path) -> str:
    if any(each.is_dir() for pattern in ('Split-*', '*/Split-*') for each in path.glob(pattern)):
        return 'canonical'
    found = 'folder'
    for file in files_in(path, IMAGE_SUFFIXES | PARQUET_SUFFIXES):
        if file.suffix.lower() in PARQUET_SUFFIXES:
            found = 'parquet'
        elif file.parent != path:  # images outside of folders belong to no class
            return 'folder'
    if found == 'folder' and any(RECORDS.fullmatch(each.name) for each in path.rglob('*')):
        return 'tfrecord'
    return found
