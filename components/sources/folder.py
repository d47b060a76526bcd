"""Images in a folder with one folder per class."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

from components.sources.base import DataError, LabelledImage, Part, describe_classes
from components.sources.files import IMAGE_SUFFIXES, files_in, fingerprint

_PARTS: tuple[Part, ...] = get_args(Part)


class FolderSource:
    """A folder of class folders, as `keras.utils.image_dataset_from_directory` reads them.

    Labels follow the sorted names of the folders. Files without an image's suffix
    and hidden ones are ignored. If the folder holds `train` and `validation`, each with
    class folders of its own, every image says which of the two it comes from.

    Args:
        path: the folder.
        classes: names in the order of the labels, if this is one span of several: it may have
            images of some of them only. None: those that are here.

    Raises:
        DataError: the folder is missing, empty, or does not have two classes.
    """

    def __init__(self, path: Path, classes: tuple[str, ...] | None = None) -> None:
        if not path.is_dir():
            raise DataError(
                f'data folder {path} does not exist; give a folder with one folder per class'
            )
        self._path = path
        try:
            self._files = _find(path)
            self.fingerprint = fingerprint((each.path for each in self._files), path)
        except OSError as error:
            raise DataError(f'{error.filename} cannot be read: {error.strerror}') from error
        self.classes = classes or tuple(sorted({each.class_name for each in self._files}))
        self.count = len(self._files)
        if not self._files:
            raise DataError(
                f'data folder {path} holds no images; expected {path}/CLASS/*.jpg (or .jpeg, .png)'
            )
        if len(self.classes) < 2:
            raise DataError(
                f'data folder {path} has {describe_classes(self.classes)}; expected two folders '
                'with images, one per class, or train and validation with two such folders each'
            )

    def images(self) -> Iterator[LabelledImage]:
        for file, class_name, part in self._files:
            try:
                contents = file.read_bytes()
            except OSError as error:
                raise DataError(f'{file} cannot be read: {error.strerror}') from error
            label = self.classes.index(class_name)
            yield LabelledImage(contents, label, str(file.relative_to(self._path)), part)


def class_names(path: Path) -> set[str]:
    """Names of the classes that a folder has images of.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return {each.class_name for each in _find(path)}
    except OSError as error:
        raise DataError(f'{error.filename} cannot be read: {error.strerror}') from error


class _File(NamedTuple):
    path: Path
    class_name: str
    part: Part | None


def _find(path: Path) -> list[_File]:
    """The images in class folders, sorted; those directly in `path` belong to no class."""
    files = sorted(files_in(path, IMAGE_SUFFIXES))
    places = [(file, file.relative_to(path).parts) for file in files]
    if not _in_parts(path, places):
        return [_File(file, place[0], None) for file, place in places if len(place) > 1]
    found = [
        _File(file, place[1], part) for file, place in places for part in _PARTS if place[0] == part
    ]
    _require_same_classes(path, found)
    return found


def _in_parts(path: Path, places: list[tuple[Path, tuple[str, ...]]]) -> bool:
    """Whether the folders are parts of a set, and not classes that have the names of parts.

    Raises:
        DataError: in a part, some images are in class folders and some are beside them.
    """
    inside = [(file, place) for file, place in places if len(place) > 1]
    beside = [file for file, place in inside if len(place) == 2]
    if {place[0] for _, place in inside} != set(_PARTS) or len(beside) == len(inside):
        return False
    if beside:
        raise DataError(f'{beside[0]} is in no class folder; expected {path}/train/CLASS/*.jpg')
    return True


def _require_same_classes(path: Path, files: list[_File]) -> None:
    train, validation = (
        sorted({file.class_name for file in files if file.part == part}) for part in _PARTS
    )
    if train != validation:
        raise DataError(
            f'data folder {path} has {describe_classes(train)} in train and '
            f'{describe_classes(validation)} in validation; they must be the same'
        )
