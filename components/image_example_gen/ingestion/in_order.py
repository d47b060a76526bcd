"""Work on images in a few threads, with a few of them in memory."""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

_BATCH, _BATCH_BYTES = 32, 2**20


class _HasContents(Protocol):
    @property
    def contents(self) -> bytes: ...


_Image = TypeVar('_Image', bound=_HasContents)
_Found = TypeVar('_Found')


def in_order(function: Callable[[_Image], _Found], images: Iterable[_Image]) -> Iterator[_Found]:
    """The results for all images, from a few threads; only a few batches are held at a time.

    Decoding leaves Python's lock to others. Batches, for each hand-over costs some of what is won.
    """
    workers = len(os.sched_getaffinity(0))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        waiting: collections.deque[concurrent.futures.Future[list[_Found]]] = collections.deque()
        for batch in batches(images):
            waiting.append(pool.submit(lambda each: [*map(function, each)], batch))
            if len(waiting) > workers + 1:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def batches(images: Iterable[_Image]) -> Iterator[list[_Image]]:
    """Some images at a time, fewer of large ones."""
    batch: list[_Image] = []
    size = 0
    for image in images:
        batch.append(image)
        size += len(image.contents)
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
