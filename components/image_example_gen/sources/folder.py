"""Source for images in a folder per class, or with their classes in the names of the files.

Does not import TensorFlow.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import folded
from components.image_example_gen.sources.base.listing import File, folder_at, list_files
from components.image_example_gen.sources.base.parts import (
    Kind,
    group_of_path,
    kind_of,
    limit_sources,
)
from components.image_example_gen.sources.base.source import ImageFile, Source, open_files

FolderPath = tuple[str, ...]  # names of folders, relative to the data folder
_MOST_LEFT_OUT = 0.05  # share of images next to a folder that holds the class folders
_ANNOTATIONS = re.compile(
    r'(.*[ ._-])?(masks|annotations?|trimaps?|segmentations?|labels|ground[ _-]?truths?)', re.I
)
_FOLDERS = 'a folder per class, or train, validation and test with a folder per class in each'


class _Place(NamedTuple):
    kind: Kind | None
    label: str  # empty if it is in no class folder
    below: FolderPath  # further folders, in the class folder


class _Layout:
    """Finds parts and classes.

    A folder that holds class folders, or parts, is gone into. The class is the first level of
    folders there. It is the folder that holds the images if some folders of the first level hold
    only folders, whose names are neither numbered nor repeated, as those of groups are.

    Names of classes in a recipe, or the level of its groups, decide which level the classes are.
    """

    problem = ''  # why it is not clear what the classes are, as a clause

    def __init__(self, files: Sequence[File], config: DataConfig) -> None:
        self._files, self._config = files, config
        self._wanted = {folded(name) for name in config.classes or ()}
        self._group_level = (config.group_by and config.group_by.folder) or 0
        self._in_names = config.label_pattern is not None
        self._sizes = Counter(file.name.rpartition('/')[0] for file in files)
        paths = {tuple(filter(None, name.split('/'))): n for name, n in self._sizes.items()}
        found = {p: n for p, n in paths.items() if not any(map(_ANNOTATIONS.fullmatch, p))} or paths
        self._top = self._go_in(found)
        below = _below(found, self._top)
        self.kinds = self._kinds_in(below)  # the parts, by the names of their folders
        self._inner: FolderPath = ()  # around the classes in a part
        if self.kinds:
            first = 'train' if 'train' in self.kinds.values() else min(self.kinds.values())
            inside = [p for p in below if p and self.kinds.get(p[0]) == first]
            below = {path[1:]: below[path] for path in inside}
            self._inner = self._go_in(below)
        self._levels = [path for path in _below(below, self._inner) if path]
        self._by_parent = self._is_by_parent()
        # By the folder of an image; None if it is left out.
        self._places = {'/'.join(p): self._place(p) if p in found else None for p in paths}

    def rows(self, default_source: str) -> Iterator[ImageFile]:
        """Yields the images that are not left out."""
        sizes: Counter[str] = Counter()
        for folder, place in self._places.items():
            sizes[place.below[0] if place and place.below else ''] += self._sizes[folder]
        sources = limit_sources(sizes) | {'': default_source}
        for file in self._files:
            folder, _, name = file.name.rpartition('/')
            if place := self._places[folder]:
                label, group = place.label, None
                if self._config.label_pattern:
                    match = re.search(self._config.label_pattern, name)
                    label = (match and match[1]) or ''
                if self._config.group_by:
                    group = group_of_path(self._config.group_by, (*place.below, name))
                source = sources[place.below[0] if place.below else '']
                yield ImageFile(file, label, place.kind or '', source, group)

    def _place(self, path: FolderPath) -> _Place | None:
        if path[: len(self._top)] != self._top:
            return _Place(None, '', path) if self._in_names and not self.kinds else None
        path, kind = path[len(self._top) :], None
        if self.kinds:
            kind = self.kinds.get(path[0]) if path else None
            if not kind:
                return None
            path = path[1:]
            inner = path[: len(self._inner)]
            if inner == self._inner or (inner and kind_of(inner[0]) == kind):  # as in `test/test`
                path = path[len(self._inner) :]
        if not path or self._in_names:
            return _Place(kind, '', path)
        return _Place(kind, path[-1], ()) if self._by_parent else _Place(kind, path[0], path[1:])

    def describe(self) -> str:
        """Human-readable, such as `train, val with a folder per class in each`."""
        what = 'images with classes in their names' if self._in_names else 'a folder per class'
        if self._by_parent:
            what = 'a folder per class, at different levels'
        if self.kinds:
            what = f'{", ".join(self.kinds)} with {what} in each'
        return f'{what} in {"/".join(self._top)}' if self._top else what

    def notes(self) -> Iterator[str]:
        """Yields how the layout was understood, and what was left out, if it is not obvious."""
        if self._top or self._by_parent:
            yield f'read as {self.describe()}'
        if self._by_parent:
            first = _listed({path[0] for path in self._levels})
            yield (
                f'the classes are the folders that hold the images, not {first}; data.classes may '
                'list names of the other level'
            )
        inner = {path[0] for path in self._levels if len(path) > 1}
        is_chosen = self._by_parent or self._in_names or self._wanted or self._group_level
        if len(inner) == 1 and not is_chosen and len(self._levels) > 2:
            names = _listed({path[0] for path in self._levels})
            yield (
                f'the classes are {names}; if they are the folders in {_listed(inner)}, give that '
                'as the data folder'
            )
        left_out: Counter[str] = Counter()
        top = ''.join(f'{name}/' for name in self._top)
        for name, number in self._sizes.items():
            if self._places[name] is None:
                inside = top if name.startswith(top) else ''
                left_out[inside + name[len(inside) :].partition('/')[0]] += number
        if left_out:
            shown = _listed(
                f'{name or "."} ({number:,} images)' for name, number in left_out.items()
            )
            yield f'left out: {shown}; give one of them as the data folder to read it instead'

    def _go_in(self, images: Mapping[FolderPath, int]) -> FolderPath:
        """The folder whose subfolders are the parts or classes."""
        inside = defaultdict[str, dict[FolderPath, int]](dict)
        for path, number in images.items():
            if path:
                inside[path[0]][path[1:]] = number
        if self._kinds_in(images) or self._wanted.intersection(map(folded, inside)):
            return ()
        inner = [name for name, paths in inside.items() if self._kinds_in(paths)]
        if len(inner) != 1:
            most = (1 - _MOST_LEFT_OUT) * sum(images.values())
            inner = [name for name, paths in inside.items() if sum(paths.values()) >= most]
            levels = [len(path) for name in inner for path in inside[name]]
            if self._in_names or len(levels) < 2 or min(levels) <= self._group_level:
                return ()
        return (*inner, *self._go_in(inside[inner[0]])) if len(inner) == 1 else ()

    def _kinds_in(self, images: Collection[FolderPath]) -> dict[str, Kind]:
        """The parts, by the names of their folders; empty if the images are not divided."""
        kinds = {path[0]: kind for path in sorted(images) if path and (kind := kind_of(path[0]))}
        has_classes = self._in_names or any(len(path) > 1 and path[0] in kinds for path in images)
        return kinds if len(set(kinds.values())) > 1 and has_classes else {}

    def _is_by_parent(self) -> bool:
        """Whether the class is the last folder, not the first; sets `problem`."""
        parts = {kind_of(path[1]) if len(path) > 1 else None for path in self._levels}
        if not self.kinds and None not in parts and len(parts) > 1 and 'train' in parts:
            names = _listed({path[1] for path in self._levels})
            self.problem = f'has {names} in each class folder; expected the classes in the parts'
        if self.problem or self._in_names:
            return False
        if self._wanted:
            first, last = (
                {path[end] for path in self._levels if folded(path[end]) in self._wanted}
                for end in (0, -1)
            )
            return len(last) > len(first)
        leaves = [path for path in self._levels if len(path) > 1]
        inner = {path[0] for path in leaves}
        is_mixed = any(len(path) == 1 and path[0] in inner for path in self._levels)
        if self._group_level or not inner or is_mixed:
            return False
        tops = Counter(name for _, name in {(path[0], path[-1]) for path in leaves})
        repeated = [name for name, number in tops.items() if number > 1]
        numbered = {name for name in tops if re.search(r'\d', name)}
        if len(repeated) > max(len(inner), len(tops) / 2) and numbered.isdisjoint(repeated):
            self.problem = (
                f'has the same folders in {_listed(inner)}: if they are the classes, give one of '
                'these as the data folder, else list these in data.classes'
            )
        return 2 * sum(path[-1] in numbered.union(repeated) for path in leaves) <= len(leaves)


def _below(images: Mapping[FolderPath, int], top: FolderPath) -> dict[FolderPath, int]:
    return {p[len(top) :]: n for p, n in images.items() if p[: len(top)] == top}


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ', '.join(shown[:5]) + (', ...' if len(shown) > 5 else '')


def open_source(config: DataConfig) -> Source:
    """Opens a folder of class folders, or of parts such as `train` and `test` with class folders.

    Raises DataError if the folder is missing, cannot be read or has no images, or it is not clear
    what the classes are.
    """
    place = config.spans_place
    assert place
    where = f'data folder {place}'
    if isinstance(place, Path) and not place.is_dir():
        problem = 'is a file of unknown type' if place.exists() else 'does not exist'
        raise DataError(
            f'{where} {problem}; expected a folder with one folder per class, or a file called '
            '*.zip, *.tar, *.tar.gz, *.csv, *.tsv, *.txt, *.parquet or *.tfrecord'
        )
    folder = folder_at(place)
    listed = list_files(folder)
    if not listed:
        raise DataError(f'{where} holds no images; expected {_FOLDERS}')
    layout = _Layout(listed, config)
    if layout.problem:
        raise DataError(f'{where} {layout.problem}')
    name = str(place).rpartition('/')[2]
    rows = list(layout.rows('' if config.source == 'archive' else name))
    labels = {row.label for row in rows} - {''}
    if not labels or not (config.label_pattern or layout.kinds or not all(map(kind_of, labels))):
        example = rows[0].file.name if rows else listed[0].name
        raise DataError(
            f'{where} has no class folders, only images such as {example}; expected '
            f'{_FOLDERS}; if the file names have the classes, set or correct data.label_pattern'
        )
    return open_files(
        where,
        folder,
        rows,
        config,
        layout=layout.describe(),
        notes=[*layout.notes()],
        state=config.label_pattern,
    )
