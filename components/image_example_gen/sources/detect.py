"""Detects the source and the layout of the option `--data`. Imports neither TensorFlow nor TFX."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from common import object_storage
from common.errors import DataError
from components.image_example_gen.sources.base.data_config import ONLY_FOR, URL, DataConfig
from components.image_example_gen.sources.base.labels import describe_classes
from components.image_example_gen.sources.base.listing import (
    LocalFolder,
    is_image,
    list_files,
    source_of_name,
)
from components.image_example_gen.sources.base.source import FileShard, Source
from components.image_example_gen.sources.spans import find_spans, open_source

_CLASS_FOLDERS = ('folder', 'archive')
_LAYOUTS = {
    'folder': 'a folder',
    'archive': 'an archive',
    'csv': 'a CSV file',
    'parquet': 'Parquet files',
    'tfrecord': 'TFRecord files',
}
# CLASS.N.jpg, CLASS_N.jpg, CLASS-N.jpg, CLASS N.jpg, CLASS (N).jpg
CLASS_AND_NUMBER = r'^(.*[^\W\d_])[ ._-]+\(?\d+\)?\.\w+$'
# Names that cameras and programs give: a number follows, but they are no classes.
_NO_CLASSES = re.compile(
    r'(img|image|dsc[fn]?|pict?|pxl|mvimg|vid|dcim|photo|picture|pic|foto|scan|file|frame|'
    r'screenshot|screen shot|whatsapp image|untitled|download)',
    re.IGNORECASE,
)


class Detected(NamedTuple):
    """The source of images, and how they are laid out."""

    source: str  # of a recipe
    layout: str  # one line for users, such as `a folder per class`
    label_pattern: str | None = None  # for files called CLASS.N.jpg


def detect(data: str) -> Detected:
    """Detects how the images of a path or a URL are laid out; raises no error.

    `folder` for missing or unknown files, for which that source raises the error.
    """
    if object_storage.URL.match(data):
        return Detected('folder', 'a folder in object storage')
    if URL.match(data):
        return Detected('archive', 'an archive to download')
    path = Path(data)
    try:
        return detect_in_folder(path) if path.is_dir() else _detect_file(path)
    except (DataError, OSError):
        return Detected('folder', 'a folder')


def data_overrides(
    data: str, found: Detected, before: str | None = None, label_pattern: str | None = None
) -> list[tuple[str, Any]]:
    """The keys of a recipe that `--data` (a path or a URL) sets or removes, as it is laid out.

    The classes of the source before are kept unless only the new source has class folders; a
    digest, names of columns, and a `label_pattern` are kept if the source is the same.
    """
    source = found.source
    is_url = object_storage.URL.match(data) or URL.match(data)
    values: dict[str, Any] = {'path': None, 'url': None, 'dataset': None}
    values |= {'source': source, 'url' if is_url else 'path': data}
    if before not in (None, source):
        values |= {'sha256': None, 'columns': {}}
    if source not in ONLY_FOR['label_pattern']:
        values['label_pattern'] = None
    elif found.label_pattern and not label_pattern:
        values['label_pattern'] = found.label_pattern
    if source in _CLASS_FOLDERS and before not in (None, *_CLASS_FOLDERS):
        values['classes'] = None
    return [(f'data.{key}', value) for key, value in values.items()]


def detect_in_folder(path: Path) -> Detected:
    """The source of the images in a folder; raises DataError if it cannot be read."""
    listed = list_files(LocalFolder(path), lambda name: is_image(name) or _is_records(name))
    records = [file.name for file in listed if _is_records(file.name)]
    if records and not any('/' in file.name and is_image(file.name) for file in listed):
        source = min(source_of_name(name) or '' for name in records)
        return Detected(source, _LAYOUTS[source])
    for may_be_classes in (True, False):
        if spans := find_spans(path, dates_may_be_classes=may_be_classes):
            inner = detect_in_folder(Path(spans[max(spans)]))
            if may_be_classes or inner.source == 'csv' or inner.label_pattern:
                return inner._replace(layout=f'spans with {inner.layout}')
    folder, table = _open('folder', path), _open('csv', path)
    by_folder = defaultdict[str, set[str]](set)  # the classes in the table
    for shard in table.pieces if table else ():
        assert isinstance(shard, FileShard)
        for row in shard.rows:
            by_folder[row.file.name.rpartition('/')[0]].add(row.label)
    classes = folder.by_label.keys() - {''} if folder else ()
    if folder and len(classes) > 1 and max(map(len, by_folder.values()), default=1) == 1:
        further = f'; not read: {table.layout}' if table else ''
        return Detected('folder', folder.layout + further)
    if table:
        return Detected('csv', table.layout)
    named = _open('folder', path, label_pattern=CLASS_AND_NUMBER)
    counts = {str(label): number for label, number in named.by_label.items()} if named else {}
    are_classes = all(name and not _NO_CLASSES.fullmatch(name) for name in counts)
    if are_classes and len(counts) > 1 and min(counts.values()) > 1:
        what = f'images named CLASS and number, {describe_classes(sorted(counts))}'
        return Detected('folder', what, CLASS_AND_NUMBER)
    return Detected('folder', folder.layout if folder else 'a folder')


def _detect_file(path: Path) -> Detected:
    source = source_of_name(path.name) or 'folder'
    table = _open('csv', path) if source == 'csv' else None
    return Detected(source, table.layout if table else _LAYOUTS[source])


def _is_records(name: str) -> bool:
    return source_of_name(name) in ('parquet', 'tfrecord')


def _open(source: str, path: Path, label_pattern: str | None = None) -> Source | None:
    """The images of a folder, or of a table in it; None if they cannot be read so."""
    config = {'source': source, 'path': path, 'label_pattern': label_pattern}
    try:
        return open_source(DataConfig.model_validate(config))
    except DataError:
        return None
