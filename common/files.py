"""Files: sizes, atomic writes and SHA-256 digests."""

import hashlib
import os
from pathlib import Path

MEGABYTE = 10**6  # bytes, as limits and messages count them
_BLOCK = 1 << 20  # bytes read at a time


def write_atomically(path: Path, text: str, *, durable: bool = False) -> None:
    """Replaces a UTF-8 text file: a reader finds the old or the new content, never a part.

    Args:
        path: the file; its folder exists.
        text: the new content.
        durable: whether the content is on the disk before it replaces the old.

    Raises:
        OSError: the file cannot be written; it is unchanged.
    """
    partial = path.with_name(f'.{path.name}.partial')
    try:
        partial.write_text(text, encoding='utf-8')
        if durable:
            flush(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Waits until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """The SHA-256 digest of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
