"""Derives classes and parts from the paths of images in a folder or an extracted archive.

Supports two layouts: `CLASS/cat.jpg`, as `keras.utils.image_dataset_from_directory` reads it, and
`train/CLASS/cat.jpg` with `validation/CLASS/cat.jpg`. Class folders may have subfolders of any
depth.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, get_args

from common.errors import DataError
from components.image_example_gen.sources.base.config import number_of_span
from components.image_example_gen.sources.base.origins import limit_sources
from components.image_example_gen.sources.base.source_protocol import (
    Part,
    class_name,
    describe_classes,
)

EXPECTED = 'a folder per class, or train and validation with a folder per class in each'
PathParts = tuple[str, ...]  # relative path: names of the folders, then of the file
_PARTS: tuple[Part, ...] = get_args(Part)
# Folder names that indicate a divided data set, if such folders contain subfolders with images.
_PART_NAMES = re.compile(
    '(train|training|val|valid|validation|test|testing|eval|evaluation|dev)([-_ ]?(set|data))?',
    re.IGNORECASE,
)


class FolderListing(NamedTuple):
    """The contents of a folder.

    Attributes:
        images: path of each image file.
        folders: paths of all folders, including those without images.
        ignored: number of other files.
    """

    images: Sequence[PathParts]
    folders: Collection[PathParts]
    ignored: int


class ImagePlace(NamedTuple):
    """The position of an image in the layout.

    Attributes:
        class_name: None if the image is not in a class folder.
        part: None if the data is not divided.
        source: name of the subfolder of the class folder; empty if there is none.
    """

    class_name: str | None
    part: Part | None
    source: str


class Layout(NamedTuple):
    """The layout of a folder.

    Attributes:
        places: of each image, in the order of the images.
        counts: number of images in each class folder, including empty ones.
    """

    places: Sequence[ImagePlace]
    counts: Mapping[str, int]


def parse_layout(where: str, listing: FolderListing, wrapped: bool = False) -> Layout:
    """Derives the class and part of each image.

    Args:
        where: for error messages, such as `data folder pets`.
        listing: the contents of the folder.
        wrapped: skip single folders around all others, which archives often have.

    Raises:
        DataError: no image is in a class folder, the data is divided into other parts than train
            and validation, or an archive contains folders of spans.
    """
    images, folders = listing.images, set(listing.folders)
    while wrapped and _has_single_root(images, folders):
        images, folders = [each[1:] for each in images], {each[1:] for each in folders} - {()}
    if wrapped:
        _require_no_spans(where, images)
    depth = 1 if _is_divided(where, images) else 0
    sources = limit_sources(Counter(_subfolder(each, depth) for each in images))
    places = [
        ImagePlace(
            class_name(each[depth]) if len(each) > depth + 1 else None,
            next((part for part in _PARTS if depth and each[0] == part), None),
            sources[_subfolder(each, depth)],
        )
        for each in images
    ]
    of_classes = [each for each in folders if not depth or each[0] in _PARTS]
    counts = Counter({class_name(each[depth]): 0 for each in of_classes if len(each) > depth})
    counts.update(place.class_name for place in places if place.class_name is not None)
    if not any(counts.values()):
        what = 'only images outside class folders' if images else 'no images'
        raise DataError(f'{where} holds {what}; expected {EXPECTED}')
    return Layout(places, counts)


def resolve_classes(
    where: str, counts: Mapping[str, int], wanted: tuple[str, ...] | None
) -> tuple[str, ...]:
    """The class names in the order of the labels.

    Args:
        where: for error messages, such as `data folder pets`.
        counts: number of images in each class folder.
        wanted: the names in a recipe; None: the sorted names of the folders.

    Raises:
        DataError: there are fewer than two classes, or a class has no images.
    """
    classes = tuple(map(class_name, wanted or sorted(counts)))
    for name in classes:
        if not counts.get(name):
            existing = describe_classes(sorted(name for name, number in counts.items() if number))
            raise DataError(
                f'class {name!r} has no images in {where}, which has images of {existing}; add '
                f'images, or {"remove it from data.classes" if wanted else "remove its folder"}'
            )
    if len(classes) < 2:
        raise DataError(
            f'{where} has {describe_classes(classes)}; expected two or more: {EXPECTED}'
        )
    return classes


def require_equal_parts(where: str, layout: Layout, classes: Collection[str]) -> None:
    """Raises DataError unless train and validation, if there are any, have the same classes."""
    pairs = {(place.class_name, place.part) for place in layout.places}
    train, validation = (
        [name for name in sorted(classes) if (name, part) in pairs] for part in _PARTS
    )
    if train != validation:
        raise DataError(
            f'{where} has {describe_classes(train)} in train and '
            f'{describe_classes(validation)} in validation; they must be the same'
        )


def _subfolder(path: PathParts, depth: int) -> str:
    """The folder inside the class folder; empty if there is none."""
    return path[depth + 1] if len(path) > depth + 2 else ''


def _has_single_root(images: Sequence[PathParts], folders: Collection[PathParts]) -> bool:
    """Whether one folder contains all others, and no image is directly in it."""
    return len({each[0] for each in folders}) == 1 and min(map(len, images), default=0) > 2


def _is_divided(where: str, images: Sequence[PathParts]) -> bool:
    """Whether the top folders are parts of a data set, not classes with the names of parts.

    Raises:
        DataError: the parts are not train and validation, other folders contain images, or some
            images of a part are not in class folders.
    """
    inside = [each for each in images if len(each) > 1]
    direct = [each for each in inside if len(each) == 2]  # not in a subfolder
    names = sorted({each[0] for each in inside})
    parts = list(filter(_PART_NAMES.fullmatch, names))
    if len(direct) == len(inside):
        return False
    if names != parts and not _has_train_and_other({*inside} - {*direct}):
        return False
    if others := [name for name in names if name not in parts]:
        raise DataError(
            f'{where} is divided into {", ".join(parts)}, but {others[0]} also contains images; '
            f'move {others[0]} elsewhere: expected only train and validation'
        )
    if names != sorted(_PARTS):
        raise DataError(
            f'{where} is divided into {", ".join(names)}; expected train and validation, '
            'or one folder per class'
        )
    if direct:
        raise DataError(
            f'{"/".join(direct[0])} in {where} is not in a class folder; expected train/CLASS/*.jpg'
        )
    return True


def _has_train_and_other(images: Collection[PathParts]) -> bool:
    """Whether some images are in a train folder and some in another part."""
    parts = {each[0] for each in images if _PART_NAMES.fullmatch(each[0])}
    return len(parts) > 1 and any(part.lower().startswith('train') for part in parts)


def _require_no_spans(where: str, images: Sequence[PathParts]) -> None:
    folders = {each[0] for each in images if len(each) > 2}
    spans = sorted(name for name in folders if number_of_span(name) is not None)
    if spans:
        raise DataError(
            f'{where} contains {spans[0]}, the folder of a span, but spans are only read from '
            f'folders; extract it and give the folder that contains {spans[0]}'
        )
