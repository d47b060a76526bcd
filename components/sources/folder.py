"""Images in a folder with one folder per class."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from components.sources.base import DataError, LabelledImage

IMAGE_SUFFIXES = frozenset({'.jpg', '.jpeg', '.png'})


class FolderSource:
    """A folder of class folders, as `keras.utils.image_dataset_from_directory` reads them.

    Labels follow the sorted names of the folders. Files without an image's suffix
    and hidden ones are ignored.

    Raises:
        DataError: the folder is missing, empty, or does not have two classes.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise DataError(
                f'data folder {path} does not exist; give a folder with one folder per class'
            )
        self._path = path
        try:
            files = {
                folder.name: _image_files(folder)
                for folder in sorted(path.iterdir())
                if folder.is_dir() and not folder.name.startswith('.')
            }
            self._files = [(file, name) for name, found in files.items() for file in found]
            self.fingerprint = self._fingerprint()
        except OSError as error:
            raise DataError(f'{error.filename} cannot be read: {error.strerror}') from error
        self.classes = tuple(name for name, found in files.items() if found)
        self.count = len(self._files)
        if not self._files:
            raise DataError(
                f'data folder {path} holds no images; expected {path}/CLASS/*.jpg (or .jpeg, .png)'
            )
        if len(self.classes) != 2:
            raise DataError(
                f'data folder {path} has {_classes(self.classes)}; '
                f'expected two folders with images, one per class'
            )

    def images(self) -> Iterator[LabelledImage]:
        for file, name in self._files:
            try:
                contents = file.read_bytes()
            except OSError as error:
                raise DataError(f'{file} cannot be read: {error.strerror}') from error
            yield LabelledImage(
                contents, self.classes.index(name), str(file.relative_to(self._path))
            )

    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for file, _ in self._files:
            status = file.stat()
            line = f'{file.relative_to(self._path)}\0{status.st_size}\0{status.st_mtime_ns}\n'
            digest.update(line.encode(errors='surrogateescape'))
        return digest.hexdigest()


def _image_files(folder: Path) -> list[Path]:
    found = (file for file in folder.rglob('*') if file.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(file for file in found if file.is_file() and not _hidden(file, folder))


def _hidden(file: Path, folder: Path) -> bool:
    """Such as the "._cat.jpg" that macOS leaves beside each "cat.jpg" that it copies."""
    return any(part.startswith('.') for part in file.relative_to(folder).parts)


def _classes(names: tuple[str, ...]) -> str:
    shown = ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
    return f'{len(names)} class{"es" * (len(names) > 1)} ({shown})'
