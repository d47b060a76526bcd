"""Reads and writes files that several hosts may use at once, in a folder or in a bucket."""

import fnmatch
from collections.abc import Mapping
from pathlib import Path

from common.files import flush, read_regular, replacing
from common.mirror import is_remote, uri_of
from common.object_storage import open_bucket


class Folder:
    """Files below a folder on a disk or a volume, by name, such as `runs/7.json`.

    The folder need not exist before the first file. The methods raise OSError.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self, below: str = '') -> list[str]:
        """The names of all files below a folder, sorted; none if it does not exist.

        Files that a killed process did not finish are left out.
        """
        return sorted(self.sizes(below))

    def sizes(self, below: str = '') -> dict[str, int]:
        """The same files with their sizes, in bytes."""
        paths = (self._root / below).rglob('*')
        files = (path for path in paths if path.is_file() and not path.match('.*.partial'))
        return {path.relative_to(self._root).as_posix(): path.stat().st_size for path in files}

    def read(self, name: str) -> bytes:
        """Reads a file."""
        return read_regular(self._root / name)

    def write(self, name: str, contents: bytes, *, create: bool = False) -> None:
        """Writes or replaces a file, atomically.

        With `create`, raises FileExistsError if there is one of this name.
        """
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, create=create) as partial:
            partial.write_bytes(contents)
            flush(partial)

    def remove(self, name: str) -> None:
        """Removes a file, if there is one."""
        (self._root / name).unlink(missing_ok=True)


class Bucket:
    """The same for the objects below `s3://BUCKET/PREFIX`; the methods also raise StorageError."""

    def __init__(self, url: str) -> None:
        self._url = url

    def names(self, below: str = '') -> list[str]:
        return sorted(self.sizes(below))

    def sizes(self, below: str = '') -> dict[str, int]:
        with open_bucket(self._url) as (storage, root):
            found = storage.find(f'{root}/{below}', detail=True)
        return {path[len(root) + 1 :]: each['size'] for path, each in found.items()}

    def read(self, name: str) -> bytes:
        with open_bucket(self._url) as (storage, root):
            return storage.cat_file(f'{root}/{name}')

    def write(self, name: str, contents: bytes, *, create: bool = False) -> None:
        mode = 'create' if create else 'overwrite'
        with open_bucket(self._url) as (storage, root):
            storage.pipe_file(f'{root}/{name}', contents, mode=mode)

    def folders(self, below: str = '') -> list[str]:
        """The names of the folders in a folder, without what is in them; none if it is empty.

        Raises ObjectNotFound if there is no such bucket.
        """
        try:
            with open_bucket(self._url) as (storage, root):
                found = storage.ls(f'{root}/{below}'.rstrip('/'), detail=True)
        except FileNotFoundError:
            self.sizes(below)  # raises ObjectNotFound without such a bucket
            return []
        paths = (each['name'].rstrip('/') for each in found if each['type'] == 'directory')
        return sorted(path[len(root) + 1 :] for path in paths)

    def download(self, files: Mapping[str, Path]) -> None:
        """Downloads objects to new or replaced files, several at a time."""
        if files:
            with open_bucket(self._url) as (storage, root):
                storage.get([f'{root}/{name}' for name in files], [*map(str, files.values())])

    def upload(self, files: Mapping[str, Path]) -> None:
        """Uploads files to new or replaced objects, several at a time."""
        if files:
            with open_bucket(self._url) as (storage, root):
                storage.put([*map(str, files.values())], [f'{root}/{name}' for name in files])

    def remove(self, below: str) -> None:
        """Removes all objects below a name."""
        with open_bucket(self._url) as (storage, root):
            storage.rm(f'{root}/{below}', recursive=True)


Storage = Folder | Bucket


def storage_of(folder: Path) -> Storage:
    """The files below a folder, or below the prefix of object storage that it mirrors."""
    return Bucket(uri_of(folder)) if is_remote(folder) else Folder(folder)


def fetch(folder: Path, *patterns: str, replace: bool = False) -> None:
    """Downloads objects that a mirror lacks, with `replace` all; a local folder is complete.

    Without `patterns`, which have wildcards for names below the folder, all of them. Raises
    StorageError.
    """
    storage = storage_of(folder)
    if isinstance(storage, Folder):
        return
    wanted = {
        name: folder / name
        for name, size in storage.sizes().items()
        if any(fnmatch.fnmatchcase(name, each) for each in patterns or '*')
        if (folder / name).is_relative_to(folder) and '..' not in Path(name).parts
        if replace or not (folder / name).is_file() or (folder / name).stat().st_size != size
    }
    storage.download(wanted)
