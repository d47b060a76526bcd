"""Images in a folder with one folder per class."""

import copy
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from common.errors import DataError
from components.image_example_gen.sources.base.image_files import fingerprint, is_image, walk
from components.image_example_gen.sources.base.layout import Found, Place, arrange, settle_classes
from components.image_example_gen.sources.base.members import (
    MAX_BYTES,
    Member,
    dealt,
    label_of,
    read_within,
    to_image,
)
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    class_name,
)


class FolderSource:
    """A folder of class folders, or of `train` and `validation` that hold such.

    Labels follow the sorted names of the folders, unless they are given. Hidden files are passed
    over. Images in no folder of a class come as bad ones, and are not read.

    Args:
        path: the folder.
        classes: names in the order of the labels; None: those of the folders.
        max_bytes: of an image; a longer one is bad, and is not read.
        complete: each class must have images; False for one span of several.
        archive: the archive that the folder was extracted from, for error messages; one more folder
            around all others is skipped then.

    Attributes:
        counts: number of images in each class folder, 0 for those that hold none.
        ignored: number of files that were left out because their names are not those of images.

    Raises:
        DataError: the folder is missing or holds no images, there are not two classes, one has no
            images, or train and validation have not the same ones.
    """

    def __init__(
        self,
        path: Path,
        classes: tuple[str, ...] | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        complete: bool = True,
        archive: Path | None = None,
    ) -> None:
        where = f'archive {archive}' if archive else f'data folder {path}'
        if path.is_file():
            raise DataError(
                f'{path} is a file of no known kind; expected a folder with one folder per class, '
                'or a file called *.zip, *.tar, *.tar.gz, *.parquet or *.tfrecord'
            )
        if not path.is_dir():
            raise DataError(f'{where} does not exist; give a folder with one folder per class')
        try:
            found = _look_through(path)
            self.fingerprint = fingerprint((path.joinpath(*each) for each in found.images), path)
        except OSError as error:
            raise DataError(f'{error.filename} cannot be read: {error.strerror}') from error
        layout = arrange(where, found, wrapped=archive is not None)
        if complete:
            self.classes = settle_classes(where, layout, classes)
        else:
            self.classes = tuple(map(class_name, classes or sorted(layout.counts)))
        self.count = len(found.images)
        self.counts: Mapping[str, int] = layout.counts
        self.ignored = found.ignored
        self._path, self._max_bytes = path, max_bytes
        self._source = '' if archive else path.name
        self._images = list(zip(found.images, layout.kinds, strict=True))

    def with_classes(self, classes: tuple[str, ...]) -> 'FolderSource':
        """The same images, labelled as these names are ordered."""
        other = copy.copy(self)
        other.classes = classes
        return other

    def shards(self) -> Sequence['FolderShard']:
        members = (
            Member(
                str(Path(*place)),
                label_of(kind, self.classes),
                kind.part,
                source=kind.source or self._source,
            )
            for place, kind in self._images
        )
        return [FolderShard(self._path, hand, self._max_bytes) for hand in dealt(members)]


@dataclasses.dataclass(frozen=True)
class FolderShard:
    """Some images of a folder."""

    path: Path
    members: tuple[Member, ...]
    max_bytes: int

    def images(self) -> Iterator[LabelledImage | BadImage]:
        for member in self.members:
            yield to_image(member, self._read)

    def _read(self, member: Member) -> bytes:
        with (self.path / member.name).open('rb') as file:
            return read_within(self.max_bytes, os.fstat(file.fileno()).st_size, file)


def _look_through(path: Path) -> Found:
    """Raises OSError if a folder cannot be read."""
    images: list[Place] = []
    folders: set[Place] = set()
    ignored = 0
    for parent, inner, names in walk(path):
        here = parent.relative_to(path).parts
        folders.update((*here, name) for name in inner)
        for name in names:
            if is_image(name) and _is_file_or_broken_link(parent / name):
                images.append((*here, name))
            else:
                ignored += 1
    return Found(sorted(images), folders, ignored)


def _is_file_or_broken_link(file: Path) -> bool:
    """A link to nothing is an image that is missing; a pipe or a device is none."""
    return file.is_file() or not file.exists()
