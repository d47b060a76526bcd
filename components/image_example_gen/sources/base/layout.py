"""Part, class, source and group of the images of a folder, by their paths."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from common.errors import DataError
from components.image_example_gen.sources.base.file_names import (
    classes_in_names,
    groups_in_names,
    pattern_of_names,
)
from components.image_example_gen.sources.base.groups import GroupConfig, group_of_folders
from components.image_example_gen.sources.base.image_files import optional_decoders
from components.image_example_gen.sources.base.image_folder import ImageListing, PathParts
from components.image_example_gen.sources.base.labelled_files import FOLDERS, ImageFile
from components.image_example_gen.sources.base.origins import limit_sources
from components.image_example_gen.sources.base.parts import is_part, parts_of
from components.image_example_gen.sources.base.source_protocol import BadImage, Part, class_name


class FolderLayout:
    """Finds part, class, source and group of images by their paths."""

    def __init__(
        self,
        where: str,
        listing: ImageListing,
        label_pattern: str | None,
        default_source: str,
        group_by: GroupConfig | None,
    ) -> None:
        self._listing, self._images = listing, listing.images
        self._label_pattern, self._default_source = label_pattern, default_source
        self._group_by = group_by
        self._parts = _find_parts(where, listing.images, in_names=label_pattern is not None)
        self._class_depth = 1 if self._parts else 0
        # Number of folders around the path that is below a class
        self._depth = self._class_depth + (label_pattern is None)

    def files(self) -> list[ImageFile | BadImage]:
        """The images, with a BadImage for each without a class."""
        depth = self._depth
        subfolders = [each[depth] if len(each) > depth + 1 else '' for each in self._images]
        sources = limit_sources(Counter(subfolders))
        groups = groups_in_names(self._group_by, [path[-1] for path in self._images])
        rows = zip(
            self._images, self._listing.sizes, subfolders, self._classes(), groups, strict=True
        )
        return [
            ImageFile(
                str(Path(*path)),
                class_name(name),
                self._parts[path[0]] if self._parts else None,
                sources[subfolder] or self._default_source,
                group or group_of_folders(self._group_by, path[depth:]),
                size,
            )
            if name is not None and len(path) > depth
            else BadImage(str(Path(*path)), 'label outside the list', self._no_class(path))
            for path, size, subfolder, name, group in rows
        ]

    def _classes(self) -> Sequence[str | None]:
        if self._label_pattern is not None:
            return classes_in_names(self._label_pattern, [each[-1] for each in self._images])
        depth = self._class_depth
        return [each[depth] if len(each) > depth + 1 else None for each in self._images]

    def _no_class(self, path: PathParts) -> str:
        if self._label_pattern is None:
            return 'it is in no class folder'
        if len(path) <= self._depth:
            return f'it is in none of the folders {", ".join(self._parts)}'
        return 'its name does not match data.label_pattern'

    def class_folders(self) -> set[str]:
        """The classes of all class folders, also of those without images."""
        if self._label_pattern is not None:
            return set()
        depth = self._class_depth
        inside = (
            each for each in self._listing.folders if not self._parts or each[0] in self._parts
        )
        return {class_name(each[depth]) for each in inside if len(each) > depth}

    def fingerprint(self) -> str:
        """Changes when an image, its class or the set of its decoders changes."""
        keys = [self._label_pattern, optional_decoders(each[-1] for each in self._images)]
        if not any(keys):
            return self._listing.fingerprint
        return hashlib.sha256(f'{self._listing.fingerprint}\n{keys}'.encode()).hexdigest()

    def why_no_classes(self) -> str:
        """Why no image has a class, and what to do."""
        if not self._images:
            return f'holds no images; expected {FOLDERS}'
        names = [each[-1] for each in self._images]
        if self._label_pattern is not None:
            return (
                f'has {len(names):,} images, none with a name that data.label_pattern '
                f'{self._label_pattern} matches, such as {names[0]}; correct it, or remove it if '
                f'there is {FOLDERS}'
            )
        return f'holds only images outside class folders; expected {FOLDERS}{_hint(names)}'


def _find_parts(where: str, images: Sequence[PathParts], *, in_names: bool) -> dict[str, Part]:
    """The parts of the top folders; empty if these are classes, or the images are not divided.

    `in_names`: file names have the classes, so that there are no class folders.
    """
    folders = sorted({each[0] for each in images if len(each) > 1})
    named = list(filter(is_part, folders))
    nested = {each[0] for each in images if len(each) > 2}.intersection(named)
    if in_names:
        return parts_of(where, folders) if len(named) > 1 else {}
    if len(named) > 1 and named == folders and not nested:
        raise DataError(
            f'{where} is divided into {", ".join(folders)}, which have no class folders; expected '
            f'{named[0]}/CLASS/*.jpg{_hint_of_parts(images, folders)}'
        )
    if not nested or (len(nested) == 1 and named != folders):
        return {}
    parts = parts_of(where, folders)
    direct = next((each for each in images if len(each) == 2), None)
    if direct:
        raise DataError(
            f'{"/".join(direct)} in {where} is not in a class folder; expected '
            f'{direct[0]}/CLASS/*.jpg'
        )
    return parts


def _hint_of_parts(images: Sequence[PathParts], folders: Sequence[str]) -> str:
    """What to do if only some parts have classes in their file names, as in Kaggle's archives."""
    for folder in folders:
        pattern = pattern_of_names([each[-1] for each in images if each[0] == folder])
        if pattern and not pattern_of_names([each[-1] for each in images]):
            return f'; the file names of {folder} have classes: give that folder alone'
    return _hint([each[-1] for each in images])


def _hint(names: Sequence[str]) -> str:
    pattern = pattern_of_names(names)
    if pattern is None:
        return '; if the file names have the classes, set data.label_pattern'
    return f"; the file names have classes: set data.label_pattern: '{pattern}'"
