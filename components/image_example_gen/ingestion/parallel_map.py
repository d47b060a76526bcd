"""Ordered, multi-threaded map over images with bounded memory."""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

_BATCH, _BATCH_BYTES = 32, 2**20
_PENDING_BYTES = 2**27  # of images that are mapped or wait for it


class _HasContents(Protocol):
    @property
    def contents(self) -> bytes: ...


_Image = TypeVar('_Image', bound=_HasContents)
_Result = TypeVar('_Result')


def parallel_map(
    function: Callable[[_Image], _Result], images: Iterable[_Image]
) -> Iterator[_Result]:
    """Yields the result for each image, in order; holds a few batches in memory.

    Decoding releases the GIL, so threads run in parallel. Batches reduce the cost of handing work
    to a thread.
    """
    workers = len(os.sched_getaffinity(0))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        pending: collections.deque[tuple[int, concurrent.futures.Future[list[_Result]]]]
        pending = collections.deque()
        held = 0
        for batch in batches(images):
            size = sum(len(image.contents) for image in batch)
            held += size
            pending.append((size, pool.submit(lambda each: [*map(function, each)], batch)))
            del batch  # only the pool has large images
            while len(pending) > workers + 1 or held > _PENDING_BYTES:
                size, result = pending.popleft()
                held -= size
                yield from result.result()
        while pending:
            yield from pending.popleft()[1].result()


def batches(images: Iterable[_Image]) -> Iterator[list[_Image]]:
    """Groups images into batches of at most 32, ended early once a batch exceeds 1 MiB."""
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
