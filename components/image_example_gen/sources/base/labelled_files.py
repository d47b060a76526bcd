"""Base of sources whose images are files, with class, part, source and group of each."""

import copy
import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeGuard

from common.errors import Rejected, TooFewImages
from components.image_example_gen.sources.base.image_folder import ImageFolder
from components.image_example_gen.sources.base.labels import require_names
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
    Part,
    class_name,
    describe_classes,
)

FOLDERS = 'a folder per class, or train, validation and test with a folder per class in each'
# Of the parts, in messages.
_PART_NAMES: dict[Part, str] = {
    'train': 'train',
    'train_and_eval': 'train',
    'eval': 'validation',
    'eval_and_test': 'validation',
    'test': 'test',
}


class ImageFile(NamedTuple):
    """One image file of a folder."""

    name: str
    class_name: str
    part: Part | None
    source: str
    group: str | None
    size: int = 0  # bytes when it was listed; 0 if they are not known


@dataclasses.dataclass(frozen=True)
class FileShard:
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
            elif file.class_name not in self.classes:
                expected = f'expected one of {describe_classes(self.classes)}'
                detail = f'its class is {file.class_name}; {expected}'
                yield BadImage(file.name, 'unknown class', detail)
            elif isinstance(found := next(contents), Rejected):
                yield BadImage(file.name, found.reason, found.detail)
            else:
                label = self.classes.index(file.class_name)
                yield LabelledImage(found, label, file.name, file.part, file.source, file.group)
                del found  # before the next one is read

    def _has_label(self, file: ImageFile | BadImage) -> TypeGuard[ImageFile]:
        return isinstance(file, ImageFile) and file.class_name in self.classes


class LabelledFiles:
    """Base of sources whose images are files, with a class for each.

    Args:
        where: name of the source in error messages.
        folder: where the images are.
        files: the images.
        classes: names in the order of the labels; None: the sorted names in the data.
        max_bytes: limit of an image; a larger one is a bad image and is not read.
        complete: whether each class must have images; False for one span of several.
        empty: names of further classes, without images.
        expected: a description of the layout, for error messages.

    Attributes:
        counts: number of images of each class.

    Raises:
        DataError: there are fewer than two classes, or a class has no images, in all or in a part.
    """

    fingerprint: str

    def __init__(
        self,
        where: str,
        folder: ImageFolder,
        files: Sequence[ImageFile | BadImage],
        classes: tuple[str, ...] | None,
        *,
        max_bytes: int,
        complete: bool,
        empty: Iterable[str] = (),
        expected: str = FOLDERS,
    ) -> None:
        self._folder, self._files, self._max_bytes = folder, [*files], max_bytes
        self.count = len(files)
        self.counts = Counter(dict.fromkeys(empty, 0))
        self.counts.update(file.class_name for file in files if isinstance(file, ImageFile))
        if complete:
            self.classes = resolve_classes(where, self.counts, classes, expected)
            _require_equal_parts(where, files, self.classes)
        else:
            self.classes = tuple(map(class_name, classes or sorted(self.counts)))

    def with_classes(self, classes: tuple[str, ...]) -> 'LabelledFiles':
        """A copy with other classes, in the order of the labels."""
        other = copy.copy(self)
        other.classes = classes
        return other

    def shards(self) -> list[FileShard]:
        """Distributes the images round-robin.

        Folders list one class after the other. This way each shard has images of all classes, and
        a shuffle with a bounded buffer mixes them.
        """
        count = -(-self.count // IMAGES_PER_SHARD)
        parts = [tuple(self._files[number::count]) for number in range(count)]
        return [FileShard(self._folder, part, self.classes, self._max_bytes) for part in parts]


def resolve_classes(
    where: str, counts: Mapping[str, int], wanted: tuple[str, ...] | None, expected: str = FOLDERS
) -> tuple[str, ...]:
    """The class names in the order of the labels: those wanted, or all in sorted order.

    `where` and `expected`, a description of the layout, are for error messages; `counts` has the
    images of each class. Raises DataError if there are fewer than two classes, or a class has no
    images.
    """
    classes = tuple(map(class_name, wanted or sorted(counts)))
    require_names(where, classes)
    empty = next((name for name in classes if not counts.get(name)), None)
    if empty is not None:
        existing = describe_classes(sorted(name for name, number in counts.items() if number))
        raise TooFewImages(
            f'class {empty!r} has no images in {where}, which has images of {existing}; add '
            f'images, or {"remove it from data.classes" if wanted else "remove its folder"}: a '
            'model of other classes is not compared with the live one'
        )
    if len(classes) < 2:
        raise TooFewImages(
            f'{where} has {describe_classes(classes)}; expected two or more: {expected}'
        )
    return classes


def _require_equal_parts(
    where: str, files: Sequence[ImageFile | BadImage], classes: Sequence[str]
) -> None:
    """Raises DataError if a class has images in only some of the parts."""
    pairs = {(file.class_name, file.part) for file in files if isinstance(file, ImageFile)}
    parts = {part for _, part in pairs}
    for name in classes:
        lacking = sorted(_PART_NAMES[part] for part in parts if (name, part) not in pairs if part)
        if lacking:
            raise TooFewImages(
                f'{where} is divided, and has no images of {name} in {" and ".join(lacking)}; add '
                'images'
            )
