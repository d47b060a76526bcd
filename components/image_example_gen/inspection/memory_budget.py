"""Limits the memory of work that several threads do at once."""

import contextlib
import ctypes
import threading
from collections.abc import Iterator

from common.files import MEGABYTE

_LARGE = 32 * MEGABYTE
_libc = ctypes.CDLL(None)


class MemoryBudget:
    """Bytes that threads share; a thread waits until enough of them are free. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = self._free = most
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def reserved(self, size: int) -> Iterator[None]:
        """Reserves bytes while the block runs; for more than there are, it runs alone."""
        size = min(size, self._most)
        with self._changed:
            self._changed.wait_for(lambda: size <= self._free)
            self._free -= size
        try:
            yield
        finally:
            if size > _LARGE:
                _libc.malloc_trim(0)  # the freed blocks of images stay in the heaps of the threads
            with self._changed:
                self._free += size
                self._changed.notify_all()
