"""Extracts the images of a zip or tar archive into the cache folder.

`tarfile` reads extended headers into memory whatever their size, so this module is run in a
subprocess with a memory limit. It imports little, to start fast.
"""

import errno
import hashlib
import json
import os
import resource
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import filelock

from common.errors import DataError
from components.image_example_gen.sources.archive.cache import cache_folder, cache_name
from components.image_example_gen.sources.archive.entries import (
    DAMAGED,
    Entry,
    is_zip,
    open_tar,
    tar_entries,
    zip_entries,
)
from components.image_example_gen.sources.base.image_files import is_image, is_litter

IMAGES, CONTENTS = 'images', 'contents.json'  # in the folder of an extracted archive
_MEMORY = 3 * 2**30  # bytes of address space of the subprocess
_MEMBERS = 2_000_000
_DEPTH = 64  # folders around an image
_RATIO = 200  # unpacked size to archive size; more is a decompression bomb
_ALWAYS_ALLOWED = 2**30  # unpacked bytes, whatever the ratio
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}

_Place = tuple[str, ...]


def extraction_folder(path: Path) -> Path:
    """Where an archive is extracted to; changes when the file is written again.

    Raises:
        OSError: the file is missing.
    """
    status = path.stat()
    version = f'{status.st_ino} {status.st_size} {status.st_mtime_ns}'
    digest = hashlib.sha256(version.encode()).hexdigest()
    return cache_folder() / 'extracted' / cache_name(str(path.absolute()), path.name) / digest[:16]


def extract_archive(path: Path, target: Path) -> None:
    """Extracts the images atomically, and removes what was extracted of earlier versions.

    Runs that extract the same archive wait for each other, and the first does the work.

    Args:
        path: the archive.
        target: its `extraction_folder`.

    Raises:
        DataError: the file is no archive, is encrypted, damaged or too large, it has a name that
            leads out of it, or it changes meanwhile; or the cache folder cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f'{target.parent}.lock'):
            if not target.exists():
                _extract(path, target)
    except DataError:
        raise
    except MemoryError:
        raise DataError(
            f'archive {path} takes more than {_MEMORY // 2**30} GB of memory; it may be damaged'
        ) from None
    except DAMAGED as error:
        raise DataError(_explain(path, target.parent, error)) from error


def _extract(path: Path, target: Path) -> None:
    removed, partial = target.parent / 'removed', target.parent / 'partial'
    shutil.rmtree(removed, ignore_errors=True)
    for earlier in list(target.parent.iterdir()):
        earlier.rename(removed)  # at once, for runs that still read it
        shutil.rmtree(removed)
    try:
        contents = _Extraction(path, partial / IMAGES).run()
        (partial / CONTENTS).write_text(json.dumps(contents))
        if extraction_folder(path) != target:
            raise DataError(f'archive {path} changed while it was read; start again')
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _explain(path: Path, folder: Path, error: Exception) -> str:
    reason = _reason(error).partition('\n')[0].rstrip(':')
    if isinstance(error, OSError):
        if error.errno in _DISK_FULL or str(error.filename) not in ('None', str(path)):
            return (
                f'archive {path} cannot be extracted into {folder}: {reason}; '
                'CATDOG_CACHE names another folder'
            )
        if isinstance(error, PermissionError):
            return f'archive {path} cannot be read: {reason}; give yourself the right to read it'
    return f'archive {path} cannot be read, it may be cut off or damaged: {reason}'


def _reason(error: Exception) -> str:
    return getattr(error, 'strerror', None) or str(error) or type(error).__name__


class _Extraction:
    """Extracts the images and folders of an archive into a new folder."""

    def __init__(self, path: Path, folder: Path) -> None:
        self._path, self._folder = path, folder
        self._limit = max(_ALWAYS_ALLOWED, _RATIO * path.stat().st_size)
        self._images: dict[_Place, tuple[int, float]] = {}  # size and version
        self._unreadable: dict[_Place, str] = {}
        self._ignored = 0

    def run(self) -> dict[str, Any]:
        """Returns the fingerprint, the counts and the unreadable images.

        Raises:
            DataError: the archive cannot be used.
            Exception: one of DAMAGED.
        """
        self._folder.mkdir(parents=True)
        if is_zip(self._path):
            self._extract_zip()
        else:
            self._extract_tar()
        digest = hashlib.sha256()
        for place, (size, version) in sorted(self._images.items()):
            line = f'{"/".join(place)}\0{size}\0{version}\n'
            digest.update(line.encode(errors='surrogateescape'))
        return {
            'fingerprint': digest.hexdigest(),
            'images': len(self._images) - len(self._unreadable),
            'ignored': self._ignored,
            'unreadable': sorted(('/'.join(each), why) for each, why in self._unreadable.items()),
        }

    def _extract_zip(self) -> None:
        with zipfile.ZipFile(self._path) as archive:
            # Of two members with one name the later counts, as in a tar.
            for place, entry in dict(self._find_images(zip_entries(self._path, archive))).items():
                entry.member.filename = '/'.join(place)
                try:
                    archive.extract(entry.member, self._folder)
                except DAMAGED as error:
                    if isinstance(error, OSError) and error.errno in _DISK_FULL:
                        raise
                    self._set_unreadable(place, error)

    def _extract_tar(self) -> None:
        with open_tar(self._path) as archive:
            for place, entry in self._find_images(tar_entries(archive)):
                self._unreadable.pop(place, None)
                try:
                    archive.extract(entry.member, self._folder, set_attrs=False, filter='data')
                except (OSError, ValueError) as error:
                    # Without a number: of a decompressor, which cannot go on.
                    if isinstance(error, OSError) and error.errno in {None, *_DISK_FULL}:
                        raise
                    self._set_unreadable(place, error)

    def _set_unreadable(self, place: _Place, error: Exception) -> None:
        self._unreadable[place] = _reason(error)
        _on_disk(self._folder.joinpath(*place).unlink)

    def _find_images(self, entries: Iterable[Entry]) -> Iterator[tuple[_Place, Entry]]:
        """Checks each member and makes its folder; gives the images."""
        free = shutil.disk_usage(self._folder).free
        unpacked = 0
        for number, entry in enumerate(entries):
            unpacked += entry.size
            self._require_within_limits(number, unpacked)
            place = self._place(entry.name)
            if any(map(is_litter, place)):
                continue
            folder = self._folder.joinpath(*(place if entry.is_folder else place[:-1]))
            _on_disk(folder.mkdir, parents=True, exist_ok=True)
            if entry.is_file and is_image(entry.name):
                free -= entry.size
                if free < 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                self._images[place] = entry.size, entry.version
                yield place, entry
            elif not entry.is_folder:
                self._ignored += 1

    def _require_within_limits(self, members: int, unpacked: int) -> None:
        if members >= _MEMBERS:
            raise DataError(f'archive {self._path} has more than {_MEMBERS:,} members; divide it')
        if unpacked > self._limit:
            raise DataError(
                f'archive {self._path} unpacks to more than {_RATIO} times its size; '
                'it may be a decompression bomb'
            )

    def _place(self, name: str) -> _Place:
        parts = PurePosixPath(name).parts
        if '..' in parts or name.startswith('/') or PureWindowsPath(name).drive:
            raise DataError(
                f'archive {self._path} holds {name!r}, a name that leads out of it; '
                'expected names such as cats/1.jpg'
            )
        if len(parts) > _DEPTH:
            raise DataError(
                f'archive {self._path} holds {name[:80]!r}..., which is more than {_DEPTH} folders '
                'deep; expected names such as cats/1.jpg'
            )
        return parts


def _on_disk(function: Callable[..., None], **arguments: bool) -> None:
    """Calls it; passes over names that cannot be stored. Raises OSError if the disk is full."""
    try:
        function(**arguments)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            raise


def main(path: str, target: str) -> int:
    """Extracts with limited memory; writes the message of a DataError to standard output."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    memory = _MEMORY if hard == resource.RLIM_INFINITY else min(_MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (memory, hard))
    try:
        extract_archive(Path(path), Path(target))
    except DataError as error:
        sys.stdout.write(json.dumps(str(error)))
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
