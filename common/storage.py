"""Reads and writes files that several hosts may use at once, in a folder or in a bucket."""

from pathlib import Path

from common.files import flush, read_regular, replacing
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
        paths = (self._root / below).rglob('*')
        files = (path for path in paths if path.is_file() and not path.match('.*.partial'))
        return sorted(path.relative_to(self._root).as_posix() for path in files)

    def read(self, name: str) -> bytes:
        """Reads a file."""
        return read_regular(self._root / name)

    def write(self, name: str, contents: bytes) -> None:
        """Writes or replaces a file, atomically."""
        self._write(name, contents)

    def create(self, name: str, contents: bytes) -> None:
        """Writes a new file, atomically; raises FileExistsError if there is one of this name."""
        self._write(name, contents, create=True)

    def _write(self, name: str, contents: bytes, *, create: bool = False) -> None:
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, create=create) as partial:
            partial.write_bytes(contents)
            flush(partial)


class Bucket:
    """The same for the objects below `s3://BUCKET/PREFIX`; the methods also raise StorageError."""

    def __init__(self, url: str) -> None:
        self._url = url

    def names(self, below: str = '') -> list[str]:
        with open_bucket(self._url) as (storage, root):
            return sorted(path[len(root) + 1 :] for path in storage.find(f'{root}/{below}'))

    def read(self, name: str) -> bytes:
        with open_bucket(self._url) as (storage, root):
            return storage.cat_file(f'{root}/{name}')

    def write(self, name: str, contents: bytes) -> None:
        with open_bucket(self._url) as (storage, root):
            storage.pipe_file(f'{root}/{name}', contents)

    def create(self, name: str, contents: bytes) -> None:
        with open_bucket(self._url) as (storage, root):
            storage.pipe_file(f'{root}/{name}', contents, mode='create')

    def remove(self, below: str) -> None:
        """Removes all objects below a name."""
        with open_bucket(self._url) as (storage, root):
            storage.rm(f'{root}/{below}', recursive=True)


Storage = Folder | Bucket
