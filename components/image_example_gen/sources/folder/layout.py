"""Derives classes and parts from the paths of images in a folder.

Supports two layouts: `CLASS/cat.jpg`, as `keras.utils.image_dataset_from_directory` reads it, and
`train/CLASS/cat.jpg` with `validation/CLASS/cat.jpg`. Class folders may have subfolders of any
depth.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from common.errors import DataError
from components.image_example_gen.sources.base.origins import limit_sources
from components.image_example_gen.sources.base.source_protocol import (
    Part,
    class_name,
    describe_classes,
)

PathParts = tuple[str, ...]  # relative path: names of the folders, then of the file
_EXPECTED = 'a folder per class, or train and validation with a folder per class in each'
_PARTS: tuple[Part, ...] = get_args(Part)
# Folder names that indicate a divided data set, if such folders contain subfolders with images.
_PART_NAMES = re.compile(
    '(train|training|val|valid|validation|test|testing|eval|evaluation|dev)([-_ ]?(set|data))?',
    re.IGNORECASE,
)


class ImageFile(NamedTuple):
    """One image file of a folder.

    Attributes:
        name: path relative to the folder.
        class_name: None if the image is not in a class folder.
        part: None if the data is not divided.
        source: name of the subfolder of the class folder, or a default.
    """

    name: str
    class_name: str | None
    part: Part | None
    source: str


def parse_layout(
    where: str, images: Sequence[PathParts], folders: Collection[PathParts], source: str
) -> tuple[list[ImageFile], Counter[str]]:
    """Derives the class and part of each image.

    Args:
        where: for error messages, such as `data folder pets`.
        images: paths of the image files.
        folders: paths of all folders, including those without images.
        source: default source.

    Returns:
        The images, and the number of images in each class folder, including empty ones.

    Raises:
        DataError: no image is in a class folder, or the data is divided into other parts than
            train and validation.
    """
    depth = 1 if _is_divided(where, images) else 0
    subfolders = [each[depth + 1] if len(each) > depth + 2 else '' for each in images]
    sources = limit_sources(Counter(subfolders))
    files = [
        ImageFile(
            str(Path(*path)),
            class_name(path[depth]) if len(path) > depth + 1 else None,
            next((part for part in _PARTS if depth and path[0] == part), None),
            sources[subfolder] or source,
        )
        for path, subfolder in zip(images, subfolders, strict=True)
    ]
    of_classes = [each for each in folders if not depth or each[0] in _PARTS]
    counts = Counter({class_name(each[depth]): 0 for each in of_classes if len(each) > depth})
    counts.update(file.class_name for file in files if file.class_name is not None)
    if not any(counts.values()):
        what = 'only images outside class folders' if images else 'no images'
        raise DataError(f'{where} holds {what}; expected {_EXPECTED}')
    return files, counts


def resolve_classes(
    where: str, counts: Mapping[str, int], wanted: tuple[str, ...] | None
) -> tuple[str, ...]:
    """The class names in the order of the labels.

    Args:
        where: for error messages, such as `data folder pets`.
        counts: number of images in each class folder.
        wanted: `data.classes` of the recipe; None: the sorted names of the folders.

    Raises:
        DataError: there are fewer than two classes, or a class has no images.
    """
    classes = tuple(map(class_name, wanted or sorted(counts)))
    empty = next((name for name in classes if not counts.get(name)), None)
    if empty is not None:
        existing = describe_classes(sorted(name for name, number in counts.items() if number))
        raise DataError(
            f'class {empty!r} has no images in {where}, which has images of {existing}; add '
            f'images, or {"remove it from data.classes" if wanted else "remove its folder"}'
        )
    if len(classes) < 2:
        raise DataError(
            f'{where} has {describe_classes(classes)}; expected two or more: {_EXPECTED}'
        )
    return classes


def require_equal_parts(where: str, files: Sequence[ImageFile], classes: Sequence[str]) -> None:
    """Raises DataError unless train and validation, if there are any, have the same classes."""
    pairs = {(file.class_name, file.part) for file in files}
    train, validation = ([name for name in classes if (name, part) in pairs] for part in _PARTS)
    if train != validation:
        raise DataError(
            f'{where} has {describe_classes(train)} in train and '
            f'{describe_classes(validation)} in validation; they must be the same'
        )


def _is_divided(where: str, images: Sequence[PathParts]) -> bool:
    """Whether the top folders are parts of a data set, not classes with the names of parts."""
    folders = sorted({each[0] for each in images if len(each) > 1})
    parts = list(filter(_PART_NAMES.fullmatch, folders))
    nested = {each[0] for each in images if len(each) > 2}.intersection(parts)
    if not nested or (len(nested) == 1 and parts != folders):
        return False
    if folders != sorted(_PARTS):
        raise DataError(
            f'{where} is divided into {", ".join(folders)}; expected only train and validation, '
            'or one folder per class'
        )
    direct = next((each for each in images if len(each) == 2), None)
    if direct:
        raise DataError(
            f'{"/".join(direct)} in {where} is not in a class folder; expected train/CLASS/*.jpg'
        )
    return True
