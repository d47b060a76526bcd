"""Source for images in a folder per class."""

import copy
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.errors import DataError, Rejected
from components.image_example_gen.sources.base.image_files import fingerprint, is_image, walk
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
    class_name,
)
from components.image_example_gen.sources.folder.layout import (
    ImageFile,
    PathParts,
    parse_layout,
    require_equal_parts,
    resolve_classes,
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
        archive: the archive that the folder was extracted from.

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
        if not path.is_dir():
            problem = 'is a file of unknown type' if path.exists() else 'does not exist'
            raise DataError(
                f'{where} {problem}; expected a folder with one folder per class, or a file called '
                '*.zip, *.tar, *.tar.gz, *.parquet or *.tfrecord'
            )
        with convert_os_errors():
            images, folders, self.ignored = _list_folder(path)
            self.fingerprint = fingerprint((path.joinpath(*each) for each in images), path)
        source = '' if archive else path.name
        files, self.counts = parse_layout(where, images, folders, source)
        if complete:
            self.classes = resolve_classes(where, self.counts, classes)
            require_equal_parts(where, files, self.classes)
        else:
            self.classes = tuple(map(class_name, classes or sorted(self.counts)))
        self.count = len(files)
        self._path, self._max_bytes, self._files = path, max_bytes, files

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
        return [FolderShard(self._path, part, self.classes, self._max_bytes) for part in parts]


@dataclasses.dataclass(frozen=True)
class FolderShard:
    """Some images of a folder."""

    path: Path
    files: tuple[ImageFile, ...]
    classes: tuple[str, ...]
    max_bytes: int

    def images(self) -> Iterator[LabelledImage | BadImage]:
        yield from map(self._read, self.files)

    def _read(self, file: ImageFile) -> LabelledImage | BadImage:
        if file.class_name not in self.classes:
            problem = 'its folder is none of the class folders'
            return BadImage(file.name, 'label outside the list', problem)
        try:
            with (self.path / file.name).open('rb') as opened:
                size = os.fstat(opened.fileno()).st_size
                contents = read_within(self.max_bytes, size, opened)
        except Rejected as error:
            return BadImage(file.name, error.reason, error.detail)
        except READ_ERRORS as error:
            if not self.path.is_dir():
                raise DataError(
                    f'{self.path} is gone: it was removed or replaced during the run, or is not on '
                    'a disk that every worker sees; start again'
                ) from error
            return BadImage(file.name, 'unreadable', f'it cannot be read: {error_text(error)}')
        label = self.classes.index(file.class_name)
        return LabelledImage(contents, label, file.name, file.part, file.source)


def _list_folder(path: Path) -> tuple[list[PathParts], set[PathParts], int]:
    """Returns the image files, the folders, and the number of other files."""
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
    return sorted(images), folders, ignored
