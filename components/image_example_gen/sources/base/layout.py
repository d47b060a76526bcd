"""Which class an image is of, and which part, from where it lies below a folder or in an archive.

Two layouts are understood: `CLASS/cat.jpg`, as `keras.utils.image_dataset_from_directory` reads it,
and `train/CLASS/cat.jpg` beside `validation/CLASS/cat.jpg`. Folders below those of the classes may
be as deep as they like.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, get_args

from common.errors import DataError
from components.image_example_gen.sources.base.config import number_of_span
from components.image_example_gen.sources.base.origins import bounded
from components.image_example_gen.sources.base.source_protocol import (
    Part,
    class_name,
    describe_classes,
)

EXPECTED = 'a folder per class, or train and validation with a folder per class in each'
Place = tuple[str, ...]  # names of the folders that hold a file, and its own
_PARTS: tuple[Part, ...] = get_args(Part)
# Names that divide a set, where images in them lie in folders of their own.
_OTHER_PARTS = re.compile(
    '(train|training|val|valid|validation|test|testing|eval|evaluation|dev)([-_ ]?(set|data))?',
    re.IGNORECASE,
)


class Found(NamedTuple):
    """What was found below a folder or in an archive.

    Attributes:
        images: where each image lies.
        folders: all folders, those without images too.
        ignored: how many files were left out because their names are not those of images.
    """

    images: Sequence[Place]
    folders: Collection[Place]
    ignored: int


class Kind(NamedTuple):
    """What an image is; `class_name` is None if it lies in no class folder.

    Its source is the folder below that of its class; empty if it lies in that itself.
    """

    class_name: str | None
    part: Part | None
    source: str


class Layout(NamedTuple):
    """The order among what was found.

    Attributes:
        kinds: of each image, in the order of the images.
        counts: number of images in each class folder, 0 for those that hold none.
    """

    kinds: Sequence[Kind]
    counts: Mapping[str, int]


def arrange(where: str, found: Found, wrapped: bool = False) -> Layout:
    """Tells the classes and parts.

    Args:
        where: as `data folder pets`, for error messages.
        found: the images.
        wrapped: a single folder around all others is looked through, as archives often have one.

    Raises:
        DataError: there is no image in a class folder, the folders look like parts, and are not
            those that are understood, or an archive holds folders of spans.
    """
    images, folders = found.images, set(found.folders)
    while wrapped and _around(images, folders):
        images, folders = [each[1:] for each in images], {each[1:] for each in folders} - {()}
    if wrapped:
        _require_no_spans(where, images)
    depth = 1 if _in_parts(where, images) else 0
    sources = bounded(Counter(_below(each, depth) for each in images))
    kinds = [
        Kind(
            class_name(each[depth]) if len(each) > depth + 1 else None,
            next((part for part in _PARTS if depth and each[0] == part), None),
            sources[_below(each, depth)],
        )
        for each in images
    ]
    of_classes = [each for each in folders if not depth or each[0] in _PARTS]
    counts = Counter({class_name(each[depth]): 0 for each in of_classes if len(each) > depth})
    counts.update(kind.class_name for kind in kinds if kind.class_name is not None)
    if not any(counts.values()):
        what = 'images in no class folder' if images else 'no images'
        raise DataError(f'{where} holds {what}; expected {EXPECTED}')
    return Layout(kinds, counts)


def settle_classes(where: str, layout: Layout, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """The names of the classes in the order of the labels, when each of them has images.

    Args:
        where: as `data folder pets`, for error messages.
        layout: what there is.
        wanted: the names that a recipe lists; None: the sorted names of the folders.

    Raises:
        DataError: there are not two classes, one of them has no images, or train and validation
            do not have the same ones.
    """
    classes = settle_counts(where, layout.counts, wanted)
    by_part = {
        part: sorted({name for name, its, _ in layout.kinds if its == part and name in classes})
        for part in _PARTS
    }
    train, validation = by_part.values()
    if train != validation:
        raise DataError(
            f'{where} has {describe_classes(train)} in train and '
            f'{describe_classes(validation)} in validation; they must be the same'
        )
    return classes


def settle_counts(
    where: str, counts: Mapping[str, int], wanted: tuple[str, ...] | None
) -> tuple[str, ...]:
    """The same from the numbers of images alone, as of several spans together."""
    classes = tuple(map(class_name, wanted or sorted(counts)))
    for name in classes:
        if not counts.get(name):
            there = describe_classes(sorted(name for name, number in counts.items() if number))
            raise DataError(
                f'class {name!r} has no images in {where}, which has images of {there}; '
                f'add some, or {"take it off data.classes" if wanted else "remove its folder"}'
            )
    if len(classes) < 2:
        raise DataError(
            f'{where} has {describe_classes(classes)}; expected two or more: {EXPECTED}'
        )
    return classes


def _below(place: Place, depth: int) -> str:
    """The folder below that of the class."""
    return place[depth + 1] if len(place) > depth + 2 else ''


def _around(images: Sequence[Place], folders: Collection[Place]) -> bool:
    """Whether one folder holds all others, and every image lies deeper than directly in it."""
    return len({each[0] for each in folders}) == 1 and min(map(len, images), default=0) > 2


def _in_parts(where: str, images: Sequence[Place]) -> bool:
    """Whether the folders are parts of a set, and not classes that have the names of parts.

    Raises:
        DataError: they are others than train and validation, there are images in a folder beside
            them, or in a part some images are in class folders and some are beside them.
    """
    inside = [each for each in images if len(each) > 1]
    beside = [each for each in inside if len(each) == 2]
    names = sorted({each[0] for each in inside})
    parts = list(filter(_OTHER_PARTS.fullmatch, names))
    if len(beside) == len(inside) or (names != parts and not _divide({*inside} - {*beside})):
        return False
    if others := [name for name in names if name not in parts]:
        raise DataError(
            f'{where} is divided into {", ".join(parts)} and holds images in {others[0]} beside '
            f'them; move {others[0]} elsewhere: expected train and validation alone'
        )
    if names != sorted(_PARTS):
        raise DataError(
            f'{where} is divided into {", ".join(names)}; expected train and validation, '
            'or one folder per class'
        )
    if beside:
        raise DataError(
            f'{"/".join(beside[0])} in {where} is in no class folder; expected train/CLASS/*.jpg'
        )
    return True


def _divide(inside: Collection[Place]) -> bool:
    """Whether images in folders of folders are divided: some are in train, some in another part."""
    parts = {each[0] for each in inside if _OTHER_PARTS.fullmatch(each[0])}
    return len(parts) > 1 and any(part.lower().startswith('train') for part in parts)


def _require_no_spans(where: str, images: Sequence[Place]) -> None:
    folders = {each[0] for each in images if len(each) > 2}
    spans = sorted(name for name in folders if number_of_span(name) is not None)
    if spans:
        raise DataError(
            f'{where} holds {spans[0]}, a folder of a span, and spans are read from folders on '
            f'disk alone; extract it and give the folder that holds {spans[0]}'
        )
