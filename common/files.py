"""Reads of regular files, atomic writes, locks and SHA-256 digests."""

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import stat
import time
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

from common.errors import PipelineError

MEGABYTE = 10**6  # bytes
# Errors of `np.load` and its arrays, if the file is missing, truncated, damaged or of another kind.
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
_BLOCK = 1 << 20  # bytes read at a time
# Errors of a file system without hard links, such as FAT and many network volumes.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_LOCK_PAUSE = 0.05  # seconds between two attempts to lock a file


def restrict_umask() -> None:
    """Sets umask 0o022 if the process has inherited 0, so that only its user can change its files.

    For containers: Argo starts processes with umask 0. On a user's machine, the umask is theirs.
    """
    if inherited := os.umask(0o022):
        os.umask(inherited)


def write_atomically(path: Path, text: str) -> None:
    """Writes a UTF-8 text file in an existing folder.

    Raises OSError if it cannot be written; the old file is unchanged then.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding='utf-8')


@contextlib.contextmanager
def replacing(path: Path, *, create: bool = False) -> Iterator[Path]:
    """Gives the path of a new file, which replaces `path` at the end of the block.

    If the block raises, the old file is unchanged. With `create` an old file is not replaced, but
    is a FileExistsError. Raises OSError if `path` is a folder, a pipe or a device: root could
    replace /dev/null by a file.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.ENODEV, 'not a regular file', str(path))
    partial = path.with_name(f'.{path.name}.{uuid.uuid4().hex}.partial')
    try:
        with naming(path):
            yield partial
            if create:
                _create(path, partial)
            else:
                partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _create(path: Path, partial: Path) -> None:
    """Gives a file a second, new name; a new name alone if its file system has no hard links."""
    try:
        path.hardlink_to(partial)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        path.touch(exist_ok=False)  # takes the name, empty for a moment
        partial.replace(path)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds the path to an OSError without one, such as that of a write to a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def flush(path: Path) -> None:
    """Calls fsync on a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(path: str | Path) -> io.BufferedReader:
    """Opens a regular file for reading in binary.

    Opening a pipe or a device may wait for ever, or read without an end. Raises OSError if it is
    one, a folder, or cannot be opened.
    """
    return open(path, 'rb', opener=_open_without_waiting)


def _open_without_waiting(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind) or stat.S_ISDIR(kind):  # `open` refuses folders
        return descriptor
    os.close(descriptor)
    raise OSError(errno.ENODEV, 'not a regular file', path)


def read_regular(path: str | Path, most: int = -1) -> bytes:
    """Reads a regular file, or its first `most` bytes; raises OSError as `open_regular`."""
    with open_regular(path) as file:
        return file.read(most)


@contextlib.contextmanager
def locked(path: Path, held: PipelineError, *, patience: float = 0.0) -> Iterator[None]:
    """Holds the lock of a file, which is created and stays; a process that ends releases it.

    The file is empty then; the holder may write its name.

    Raises `held` if another process has had the lock for `patience` seconds, and OSError if the
    file cannot be written, or its file system has no locks.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # less the umask
    end = time.monotonic() + patience
    try:
        while not _try_lock(descriptor, path):
            if time.monotonic() >= end:
                raise held
            time.sleep(_LOCK_PAUSE)
        os.ftruncate(descriptor, 0)
        yield
    finally:
        os.close(descriptor)  # also releases the lock


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        reason = f'its file system has no locks ({error.strerror})'
        raise OSError(error.errno, reason, str(path)) from error
    return True


def is_locked(path: Path) -> bool:
    """Whether a process holds a lock of `locked`; needs only the right to read the file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks, where no run can start
        return False
    finally:
        os.close(descriptor)  # also releases the lock
    return False


def share_folders(root: Path) -> None:
    """Gives the own folders below `root` its mode, which follows the umask of its user.

    TensorFlow makes folders with the mode 0755, in which a group may not write.
    """
    mode = stat.S_IMODE(root.stat().st_mode)
    for parent, names, _ in os.walk(root):
        for folder in (Path(parent, name) for name in names):
            with contextlib.suppress(OSError):  # of another user, or a file system without modes
                found = folder.lstat().st_mode
                if stat.S_ISDIR(found) and stat.S_IMODE(found) != mode:
                    folder.chmod(mode)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 digest of a regular file."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
