"""Source for images in a folder per class."""

import copy
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from common.errors import DataError, Rejected
from components.image_example_gen.sources.base.image_files import fingerprint, is_image, walk
from components.image_example_gen.sources.base.layout import (
    FolderListing,
    PathParts,
    parse_layout,
    require_equal_parts,
    resolve_classes,
)
from components.image_example_gen.sources.base.reading import (
    MAX_BYTES,
    READ_ERRORS,
    convert_os_errors,
    error_text,
    read_within,
)
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
    Part,
    class_name,
)


class FolderSource:
    """A folder of class folders, or of `train` and `validation` with class folders.

    Labels follow the sorted names of the folders, or `classes`. Hidden files are ignored. Images
    outside the class folders are bad images and are not read.

    Args:
        path: the folder.
        classes: names in the order of the labels; None: those of the folders.
        max_bytes: limit of an image; a larger one is a bad image and is not read.
        complete: whether each class must have images; False for one span of several.
        archive: the archive that the folder was extracted from, for error messages; also skips
            single folders around all others.

    Attributes:
        counts: number of images in each class folder, including empty ones.
        ignored: number of files without the suffix of an image.

    Raises:
        DataError: the folder is missing or contains no images, there are fewer than two classes, a
            class has no images, or the classes of train and validation differ.
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
                f'{path} is a file of unknown type; expected a folder with one folder per class, '
                'or a file called *.zip, *.tar, *.tar.gz, *.parquet or *.tfrecord'
            )
        if not path.is_dir():
            raise DataError(f'{where} does not exist; give a folder with one folder per class')
        with convert_os_errors():
            listing = _list_folder(path)
            self.fingerprint = fingerprint((path.joinpath(*each) for each in listing.images), path)
        layout = parse_layout(where, listing, wrapped=archive is not None)
        if complete:
            self.classes = resolve_classes(where, layout.counts, classes)
            require_equal_parts(where, layout, self.classes)
        else:
            self.classes = tuple(map(class_name, classes or sorted(layout.counts)))
        self.count = len(listing.images)
        self.counts: Mapping[str, int] = layout.counts
        self.ignored = listing.ignored
        self._path, self._max_bytes = path, max_bytes
        self._source = '' if archive else path.name
        self._images = list(zip(listing.images, layout.places, strict=True))

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
        labels = {name: label for label, name in enumerate(self.classes)}
        files = tuple(
            ImageFile(
                str(Path(*path)),
                None if place.class_name is None else labels.get(place.class_name),
                place.part,
                place.source or self._source,
            )
            for path, place in self._images
        )
        count = -(-len(files) // IMAGES_PER_SHARD)
        return [
            FolderShard(self._path, files[number::count], self._max_bytes)
            for number in range(count)
        ]


class ImageFile(NamedTuple):
    """One image file of a folder.

    Attributes:
        name: path relative to the folder.
        label: class index; None if the image is in none of the classes.
        part: as in LabelledImage.
        source: as in LabelledImage.
    """

    name: str
    label: int | None
    part: Part | None
    source: str


@dataclasses.dataclass(frozen=True)
class FolderShard:
    """Some images of a folder."""

    path: Path
    files: tuple[ImageFile, ...]
    max_bytes: int

    def images(self) -> Iterator[LabelledImage | BadImage]:
        yield from map(self._read, self.files)

    def _read(self, file: ImageFile) -> LabelledImage | BadImage:
        if file.label is None:
            return BadImage(
                file.name, 'label outside the list', 'its folder is none of the class folders'
            )
        try:
            with (self.path / file.name).open('rb') as opened:
                size = os.fstat(opened.fileno()).st_size
                contents = read_within(self.max_bytes, size, opened)
        except Rejected as error:
            return BadImage(file.name, error.reason, error.detail)
        except READ_ERRORS as error:
            return BadImage(file.name, 'unreadable', f'it cannot be read: {error_text(error)}')
        return LabelledImage(contents, file.label, file.name, file.part, file.source)


def _list_folder(path: Path) -> FolderListing:
    """Raises OSError if a folder cannot be read."""
    images: list[PathParts] = []
    folders: set[PathParts] = set()
    ignored = 0
    for parent, subfolders, names in walk(path):
        here = parent.relative_to(path).parts
        folders.update((*here, name) for name in subfolders)
        for name in names:
            file = parent / name
            # A broken link is an unreadable image; a pipe or a device is ignored.
            if is_image(name) and (file.is_file() or not file.exists()):
                images.append((*here, name))
            else:
                ignored += 1
    return FolderListing(sorted(images), folders, ignored)
