"""Uploads versions to object storage, and reads which one is served there.

TensorFlow Serving takes every number below its base path for a version as soon as one object of it
exists (`file_system_storage_path_source.cc`), and object storage cannot rename a folder. So a
version is uploaded below another name, verified, and copied within the bucket, its graph last. Then
one object, which is replaced atomically, makes it the served version: `serving.config`, for the
option `--model_config_file` of TensorFlow Serving.
"""

import dataclasses
import hashlib
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import PushError, StorageError
from common.files import sha256_of
from common.manual_override import OVERRIDE_FILE
from common.object_storage import open_bucket
from components.pusher.serving_folder import GRAPH, VERSION

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

POINTER = 'serving.config'
_COMING = '.coming-'  # temporary name, ignored by model servers
_CONFIG = """model_config_list {{
  config {{
    name: "{model}"
    base_path: "{url}"
    model_platform: "tensorflow"
    model_version_policy {{ specific {{ versions: {number} }} }}
  }}
}}
"""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ServingBucket:
    """A prefix of object storage with the versions of one model.

    Its methods raise StorageError if the bucket cannot be read or written.
    """

    url: str  # s3://BUCKET/PREFIX or gs://BUCKET/PREFIX
    model: str  # name of the model in `serving.config`
    keep: int  # number of versions to keep

    def served_version(self) -> int | None:
        """The version that `serving.config` names; None if nothing was uploaded yet."""
        with open_bucket(self.url) as (storage, root):
            return _pointed(storage, root)

    def versions(self) -> list[int]:
        """The numbers of all versions, also of incomplete ones, in ascending order."""
        with open_bucket(self.url) as (storage, root):
            return _numbers(storage, root)

    def serves(self, version: Path) -> bool:
        """Whether this version is the served one, and the bucket has all of its files."""
        with open_bucket(self.url) as (storage, root):
            return _pointed(storage, root) == int(version.name) and _is_complete(
                storage, f'{root}/{version.name}', _files(version)
            )

    def upload(self, version: Path, number: int) -> None:
        """Uploads a version, given by the folder of its files, and makes it the served one.

        After an error the served version is unchanged; the next upload removes what this one left.

        Raises:
            PushError: the uploaded files differ, or the bucket has versions of another recipe.
        """
        files = _files(version)
        names = sorted(files, key=lambda name: name == GRAPH)  # the graph is last
        with open_bucket(self.url) as (storage, root):
            owner = re.search('name: "([^"]*)"', _config(storage, root))
            if owner and owner[1] != self.model:
                raise PushError(
                    f'the versions in {self.url} are of the recipe {owner[1]}, not of '
                    f'{self.model}; set another push.url'
                )
            _remove_unserved(storage, root)
            coming, target = f'{root}/{_COMING}{number}', f'{root}/{number}'
            sources = [str(files[name]) for name in names]
            storage.put(sources, [f'{coming}/{name}' for name in names])
            for name in names:
                if _digest(storage, f'{coming}/{name}') != sha256_of(files[name]):
                    raise PushError(f'{name} of version {number} differs in {self.url}; push again')
            for part in (names[:-1], names[-1:]):
                origins = [f'{coming}/{name}' for name in part]
                storage.copy(origins, [f'{target}/{name}' for name in part])
            if not _is_complete(storage, target, files):
                raise PushError(f'version {number} is incomplete in {self.url}; push again')
            config = _CONFIG.format(model=self.model, url=self.url, number=number)
            storage.pipe_file(f'{root}/{POINTER}', config.encode())
        _log.info('uploaded to %s/%s', self.url, number)

    def remove_older(self) -> None:
        """Removes the versions before the newest `keep`, and what interrupted uploads left.

        Raises:
            PushError: they cannot be removed.
        """
        try:
            with open_bucket(self.url) as (storage, root):
                _remove_unserved(storage, root)
                for old in _numbers(storage, root)[: -self.keep]:
                    storage.rm(f'{root}/{old}', recursive=True)
        except StorageError as error:
            raise PushError(f'old versions cannot be removed: {error}') from error


def _files(version: Path) -> dict[str, Path]:
    return {
        path.relative_to(version).as_posix(): path
        for path in sorted(version.rglob('*'))
        if path.is_file() and path.name != OVERRIDE_FILE
    }


def _digest(storage: 'AbstractFileSystem', path: str) -> str:
    return hashlib.sha256(storage.cat_file(path)).hexdigest()


def _is_complete(storage: 'AbstractFileSystem', folder: str, files: dict[str, Path]) -> bool:
    """Whether a folder of the bucket has the files, by name and size."""
    found = storage.find(folder, detail=True)
    sizes = {name[len(folder) + 1 :]: int(info['size']) for name, info in found.items()}
    return all(sizes.get(name) == path.stat().st_size for name, path in files.items())


def _pointed(storage: 'AbstractFileSystem', root: str) -> int | None:
    match = re.search(r'versions: ([0-9]{1,18})', _config(storage, root))
    return int(match[1]) if match else None


def _config(storage: 'AbstractFileSystem', root: str) -> str:
    """The contents of `serving.config`; empty if nothing was uploaded yet."""
    try:
        return str(storage.cat_file(f'{root}/{POINTER}').decode(errors='replace'))
    except FileNotFoundError:
        return ''


def _numbers(storage: 'AbstractFileSystem', root: str) -> list[int]:
    return sorted(int(name) for name in _names(storage, root) if VERSION.fullmatch(name))


def _names(storage: 'AbstractFileSystem', root: str) -> list[str]:
    """The names of the folders directly below the prefix."""
    try:
        listed = storage.ls(root, detail=True)
    except FileNotFoundError:  # nothing was uploaded yet, or there is no such bucket
        return []
    folders = (each['name'].rstrip('/') for each in listed if each['type'] == 'directory')
    return [folder.rpartition('/')[2] for folder in folders]


def _remove_unserved(storage: 'AbstractFileSystem', root: str) -> None:
    """Removes what interrupted uploads left: temporary names, and versions above the served one."""
    served = _pointed(storage, root)
    newer = [each for each in _numbers(storage, root) if served is not None and each > served]
    coming = [each for each in _names(storage, root) if each.startswith(_COMING)]
    for name in (*coming, *newer):
        storage.rm(f'{root}/{name}', recursive=True)
