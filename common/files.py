"""Atomic writes and SHA-256 digests of files."""

import hashlib
import os
from pathlib import Path

MEGABYTE = 10**6  # bytes
_BLOCK = 1 << 20  # bytes read at a time


def write_atomically(path: Path, text: str, *, durable: bool = False) -> None:
    """Writes a UTF-8 text file in an existing folder; `durable` calls fsync before it is replaced.

    Raises OSError if it cannot be written; the old file is unchanged then.
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
    """Calls fsync on a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 digest of a file."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
