"""How a folder is laid out: where its parts and classes are, by the folders that hold images."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from components.image_example_gen.sources.base.labels import folded
from components.image_example_gen.sources.base.listing import Listing
from components.image_example_gen.sources.base.parts import Kind, kind_of

FolderPath = tuple[str, ...]  # names of folders, relative to the data folder
_MOST_LEFT_OUT = 0.05  # share of images next to a folder that holds the class folders
_ANNOTATIONS = re.compile(
    r'(.*[ ._-])?(masks|annotations?|trimaps?|segmentations?|labels|ground[ _-]?truths?)', re.I
)


class Place(NamedTuple):
    """What the folder of an image says."""

    kind: Kind | None
    label: str  # empty if it is in no class folder
    below: FolderPath  # further folders, in the class folder


class Layout:
    """Finds parts and classes.

    A folder that holds class folders, or parts, is gone into. The class is the first level of
    folders there. It is the folder that holds the images if some folders of the first level hold
    only folders, whose names are neither numbered nor repeated, as those of groups are.

    Args:
        listing: the images.
        wanted: names of classes, if a recipe has them; they decide which level the classes are.
        group_level: level of the folders of groups below the class, if there are any.
        in_names: whether the classes are in the names of files.

    Attributes:
        places: part and class by the folder of an image; None if they are left out.
        sizes: number of images directly in each folder.
        is_repeated: whether several folders hold the same class folders, so that the classes are
            not clear.
    """

    def __init__(
        self,
        listing: Listing,
        wanted: Collection[str] = (),
        group_level: int = 0,
        *,
        in_names: bool = False,
    ) -> None:
        self._wanted, self._group_level = {folded(name) for name in wanted}, group_level
        self._in_names, self._folders = in_names, listing.folders
        self.is_repeated = False
        self.sizes = Counter(file.name.rpartition('/')[0] for file in listing.files)
        paths = {tuple(filter(None, name.split('/'))): n for name, n in self.sizes.items()}
        no_annotations = {
            path: n for path, n in paths.items() if not any(map(_ANNOTATIONS.fullmatch, path))
        }
        found = no_annotations or paths
        self._top = self._go_in(found)
        below = _below(found, self._top)
        self.kinds: dict[str, Kind] = _kinds(below, in_names=in_names)
        if self.kinds:
            first = 'train' if 'train' in self.kinds.values() else min(self.kinds.values())
            inside = [p for p in below if p and self.kinds.get(p[0]) == first]
            below = {path[1:]: below[path] for path in inside}
        self._inner = self._go_in(below) if self.kinds else ()
        self._levels = _below(below, self._inner)
        self._has_parts_in_classes = not self.kinds and _are_parts_in_classes(self._levels)
        self._by_parent = not in_names and self._is_by_parent()
        self.places = {'/'.join(p): self._place(p) if p in found else None for p in paths}

    @property
    def labels(self) -> set[str]:
        """The names of the class folders."""
        return {place.label for place in self.places.values() if place and place.label}

    def _place(self, path: FolderPath) -> Place | None:
        if path[: len(self._top)] != self._top:
            return Place(None, '', path) if self._in_names and not self.kinds else None
        path = path[len(self._top) :]
        kind = self.kinds.get(path[0]) if path else None
        if self.kinds and path and not kind:
            return None
        path = path[1:] if kind else path
        inner = path[: len(self._inner)]
        if inner == self._inner or (inner and kind_of(inner[0]) == kind):  # such as `test/test`
            path = path[len(self._inner) :]
        if not path or self._in_names:
            return Place(kind, '', path)
        if self._has_parts_in_classes:
            return Place(kind_of(path[1]) if len(path) > 1 else None, path[0], path[2:])
        return Place(kind, path[-1], ()) if self._by_parent else Place(kind, path[0], path[1:])

    def describe(self) -> str:
        """Human-readable, such as `train, val with a folder per class in each`."""
        what = 'images with classes in their names' if self._in_names else 'a folder per class'
        if self._by_parent:
            what = 'a folder per class, at different levels'
        where = f' in {"/".join(self._top)}' if self._top else ''
        parts = ', '.join(sorted(self.kinds))
        if self._has_parts_in_classes:
            return f'{what}, with parts in each{where}'
        return f'{parts} with {what} in each{where}' if parts else f'{what}{where}'

    def notes(self) -> Iterator[str]:
        """Yields how the layout was understood, and what was left out, if it is not obvious."""
        if self._top or self._by_parent or self._has_parts_in_classes:
            yield f'read as {self.describe()}'
        if self._by_parent:
            first = sorted({path[0] for path in self._levels if path})
            yield (
                f'the classes are the folders that hold the images, not {_listed(first)}; '
                'data.classes may list names of the other level'
            )
        left_out: Counter[str] = Counter()
        for name, number in self.sizes.items():
            if self.places[name] is None:
                path = tuple(name.split('/'))
                level = len(self._top) if path[: len(self._top)] == self._top else 0
                left_out['/'.join(path[: level + 1]) or 'images outside of folders'] += number
        if left_out:
            shown = _listed([f'{name} ({number:,} images)' for name, number in left_out.items()])
            yield f'left out: {shown}; give one of them as the data folder to read it instead'
        top = ''.join(f'{name}/' for name in self._top)
        used = {name[len(top) :].partition('/')[0] for name in self.sizes if name.startswith(top)}
        beside = {name[len(top) :] for name in self._folders if name.startswith(top)}
        empty = sorted(name for name in beside - used if '/' not in name)
        if empty and not self._in_names:
            yield f'folders without images are no classes: {_listed(empty)}'

    def _go_in(self, images: Mapping[FolderPath, int]) -> FolderPath:
        """The folder whose subfolders are the parts or classes."""
        top: FolderPath = ()
        while True:
            below = _below(images, top)
            inside: dict[str, dict[FolderPath, int]] = defaultdict(dict)
            for path, number in below.items():
                if path:
                    inside[path[0]][path[1:]] = number
            if _kinds(below, in_names=self._in_names) or self._wanted.intersection(
                map(folded, inside)
            ):
                return top
            inner = [n for n, paths in inside.items() if _kinds(paths, in_names=self._in_names)]
            if len(inner) != 1:
                inner = [name for name, paths in inside.items() if self._are_classes(paths)]
                most = (1 - _MOST_LEFT_OUT) * sum(below.values())
                if len(inner) != 1 or sum(inside[inner[0]].values()) < most:
                    return top
            top = (*top, *inner)

    def _are_classes(self, paths: Collection[FolderPath]) -> bool:
        deep = len(paths) > 1 and all(len(path) > self._group_level for path in paths)
        return deep and not self._in_names

    def _is_by_parent(self) -> bool:
        paths = [path for path in self._levels if path]
        if self._wanted:
            first = {path[0] for path in paths if folded(path[0]) in self._wanted}
            last = {path[-1] for path in paths if folded(path[-1]) in self._wanted}
            return len(last) > len(first)
        direct = {path[0] for path in paths if len(path) == 1}
        leaves = [path for path in paths if len(path) > 1]
        inner = {path[0] for path in leaves}
        if self._group_level or self._has_parts_in_classes or not inner or direct & inner:
            return False
        above = defaultdict[str, set[str]](set)
        for path in leaves:
            above[path[-1]].add(path[0])
        repeated = [name for name, tops in above.items() if len(tops) > 1]
        self.is_repeated = (
            len(repeated) > len(inner)
            and len(repeated) * 2 > len(above)
            and not any(re.search(r'\d', name) for name in repeated)
        )
        numbered = sum(bool(re.search(r'\d', p[-1])) or len(above[p[-1]]) > 1 for p in leaves)
        return numbered * 2 <= len(leaves)


def _below(images: Mapping[FolderPath, int], top: FolderPath) -> dict[FolderPath, int]:
    return {p[len(top) :]: n for p, n in images.items() if p[: len(top)] == top}


def _kinds(below: Mapping[FolderPath, int], *, in_names: bool) -> dict[str, Kind]:
    """The parts, by the names of their folders; empty if the images are not divided."""
    names = {path[0] for path in below if path}
    kinds: dict[str, Kind] = {name: kind for name in sorted(names) if (kind := kind_of(name))}
    has_classes = {kinds[p[0]] for p in below if len(p) > 1 and p[0] in kinds}
    is_divided = len(set(kinds.values())) > 1 and (in_names or has_classes)
    return kinds if is_divided else {}


def _are_parts_in_classes(below: Mapping[FolderPath, int]) -> bool:
    kinds = [kind_of(path[1]) if len(path) > 1 else None for path in below if path]
    return None not in kinds and len(set(kinds)) > 1 and 'train' in kinds


def _listed(names: list[str]) -> str:
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
