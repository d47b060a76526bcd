"""Source for images in a folder per class.

Supports two layouts: `CLASS/cat.jpg`, as `keras.utils.image_dataset_from_directory` reads it, and
`train/CLASS/cat.jpg` with `validation/CLASS/cat.jpg`. Class folders may have subfolders of any
depth.
"""

import copy
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeGuard, get_args

from common.errors import DataError, Rejected, TooFewImages
from components.image_example_gen.sources.base.groups import GroupConfig, group_of_path
from components.image_example_gen.sources.base.image_folder import (
    BucketFolder,
    ImageFolder,
    LocalFolder,
    PathParts,
)
from components.image_example_gen.sources.base.labels import require_names
from components.image_example_gen.sources.base.origins import limit_sources
from components.image_example_gen.sources.base.reading import MAX_BYTES
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
    Part,
    class_name,
    describe_classes,
)

_EXPECTED = 'a folder per class, or train and validation with a folder per class in each'
_PARTS: tuple[Part, ...] = get_args(Part)
# Folder names that indicate a divided data set, if such folders contain subfolders with images.
_PART_NAMES = re.compile(
    '(train(ing)?|val(id(ation)?)?|test(ing)?|eval(uation)?|dev)([-_ ]?(set|data))?', re.IGNORECASE
)


class FolderSource:
    """A folder of class folders, or of `train` and `validation` with class folders.

    Hidden files are ignored. Images outside the class folders are bad images and are not read.

    Args:
        path: the folder, or the URL of a prefix in object storage.
        classes: names in the order of the labels; None: the sorted names of the folders.
        max_bytes: limit of an image; a larger one is a bad image and is not read.
        complete: whether each class must have images; False for one span of several.
        archive: the archive that the folder was extracted from.
        group_by: the groups of images, if any.

    Attributes:
        counts: number of images in each class folder, including empty ones.
        ignored: number of files without the suffix of an image.

    Raises:
        DataError: the folder is missing, cannot be read or has no images, there are fewer than two
            classes, a class has no images, or the parts are not train and validation with the same
            classes.
    """

    def __init__(
        self,
        path: Path | str,
        classes: tuple[str, ...] | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        complete: bool = True,
        archive: Path | None = None,
        group_by: GroupConfig | None = None,
    ) -> None:
        where = f'archive {archive}' if archive else f'data folder {path}'
        if isinstance(path, Path) and not path.is_dir():
            problem = 'is a file of unknown type' if path.exists() else 'does not exist'
            raise DataError(
                f'{where} {problem}; expected a folder with one folder per class, or a file called '
                '*.zip, *.tar, *.tar.gz, *.parquet or *.tfrecord'
            )
        self._folder: ImageFolder = (
            LocalFolder(path) if isinstance(path, Path) else BucketFolder(path)
        )
        images, sizes, folders, self.ignored, self.fingerprint = self._folder.list_images()
        depth = 1 if _is_divided(where, images) else 0  # of the class folders
        default_source = '' if archive else PurePosixPath(path).name
        files = _parse_paths(images, sizes, depth, default_source, group_by)
        folders = [each for each in folders if not depth or each[0] in _PARTS]
        self.counts = Counter({class_name(each[depth]): 0 for each in folders if len(each) > depth})
        self.counts.update(file.class_name for file in files if file.class_name is not None)
        if not any(self.counts.values()):
            found = 'only images outside class folders' if files else 'no images'
            raise TooFewImages(f'{where} holds {found}; expected {_EXPECTED}')
        if complete:
            self.classes = resolve_classes(where, self.counts, classes)
            _require_equal_parts(where, files, self.classes)
        else:
            self.classes = tuple(map(class_name, classes or sorted(self.counts)))
        self.count = len(files)
        self._files: list[ImageFile | BadImage] = [*files]
        self._max_bytes = max_bytes

    def with_classes(self, classes: tuple[str, ...]) -> 'FolderSource':
        """A copy with other classes, in the order of the labels."""
        other = copy.copy(self)
        other.classes = classes
        return other

    def shards(self) -> Sequence['FolderShard']:
        """Distributes the images round-robin.

        Folders list one class after the other. This way each shard has images of all classes, and
        a shuffle with a bounded buffer mixes them.
        """
        count = -(-self.count // IMAGES_PER_SHARD)
        parts = [tuple(self._files[number::count]) for number in range(count)]
        return [FolderShard(self._folder, part, self.classes, self._max_bytes) for part in parts]


class ImageFile(NamedTuple):
    """One image file of a folder; `class_name` is None outside class folders."""

    name: str
    class_name: str | None
    part: Part | None
    source: str
    group: str | None
    size: int = 0  # bytes when it was listed; 0 if they are not known


@dataclasses.dataclass(frozen=True)
class FolderShard:
    """Some images of a folder."""

    folder: ImageFolder
    files: tuple[ImageFile | BadImage, ...]
    classes: tuple[str, ...]
    max_bytes: int

    def images(self) -> Iterator[LabelledImage | BadImage]:
        wanted = [(each.name, each.size) for each in self.files if self._has_label(each)]
        contents = self.folder.read_images(wanted, self.max_bytes)
        for file in self.files:
            if isinstance(file, BadImage):
                yield file
            elif file.class_name is None:
                yield BadImage(file.name, 'label outside the list', 'it is in no class folder')
            elif file.class_name not in self.classes:
                expected = f'expected one of {describe_classes(self.classes)}'
                detail = f'its folder is {file.class_name}; {expected}'
                yield BadImage(file.name, 'unknown class', detail)
            elif isinstance(found := next(contents), Rejected):
                yield BadImage(file.name, found.reason, found.detail)
            else:
                label = self.classes.index(file.class_name)
                yield LabelledImage(found, label, file.name, file.part, file.source, file.group)

    def _has_label(self, file: ImageFile | BadImage) -> TypeGuard[ImageFile]:
        return isinstance(file, ImageFile) and file.class_name in self.classes


def resolve_classes(
    where: str, counts: Mapping[str, int], wanted: tuple[str, ...] | None
) -> tuple[str, ...]:
    """The class names in the order of the labels: those wanted, or the sorted names of the folders.

    `where` is for error messages, `counts` has the images of each class folder. Raises DataError if
    there are fewer than two classes, or a class has no images.
    """
    classes = tuple(map(class_name, wanted or sorted(counts)))
    require_names(where, classes)
    empty = next((name for name in classes if not counts.get(name)), None)
    if empty is not None:
        existing = describe_classes(sorted(name for name, number in counts.items() if number))
        raise TooFewImages(
            f'class {empty!r} has no images in {where}, which has images of {existing}; add '
            f'images, or {"remove it from data.classes" if wanted else "remove its folder"}'
        )
    if len(classes) < 2:
        raise TooFewImages(
            f'{where} has {describe_classes(classes)}; expected two or more: {_EXPECTED}'
        )
    return classes


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


def _parse_paths(
    images: Sequence[PathParts],
    sizes: Sequence[int],
    depth: int,
    default_source: str,
    group_by: GroupConfig | None,
) -> list[ImageFile]:
    """Derives class, part, source (the subfolder of the class folder, if any) and group."""
    subfolders = [each[depth + 1] if len(each) > depth + 2 else '' for each in images]
    sources = limit_sources(Counter(subfolders))
    return [
        ImageFile(
            str(Path(*path)),
            class_name(path[depth]) if len(path) > depth + 1 else None,
            next((part for part in _PARTS if depth and path[0] == part), None),
            sources[subfolder] or default_source,
            group_of_path(group_by, path[depth + 1 :]) if len(path) > depth + 1 else None,
            size,
        )
        for path, size, subfolder in zip(images, sizes, subfolders, strict=True)
    ]


def _require_equal_parts(where: str, files: Sequence[ImageFile], classes: Sequence[str]) -> None:
    pairs = {(file.class_name, file.part) for file in files}
    for name in classes:
        if len({part for part in _PARTS if (name, part) in pairs}) == 1:
            raise DataError(
                f'{where} has images of {name} in only one of train and validation; add images to '
                'the other'
            )
