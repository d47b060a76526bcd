"""Ordered, multi-threaded map over images with bounded memory."""

import collections
import concurrent.futures
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

_BATCH, _BATCH_BYTES = 32, 2**20
_PENDING_BYTES = 2**26  # of images that are mapped or wait for it
_RESULT_BYTES = 2**25  # of results that wait for those before them
_LARGE = 2**24  # bytes of a batch that is mapped alone, as its results may be as large


class _HasContents(Protocol):
    @property
    def contents(self) -> bytes: ...


_Image = TypeVar('_Image', bound=_HasContents)
_Result = TypeVar('_Result')


def parallel_map(
    function: Callable[[_Image], _Result],
    images: Iterable[_Image],
    size: Callable[[_Result], int] = lambda _: 0,
) -> Iterator[_Result]:
    """Yields the result for each image, in order; holds a few batches in memory.

    Decoding releases the GIL, so threads run in parallel. Batches reduce the cost of handing work
    to a thread. `size` is the memory of a result besides its image: a small file may become a large
    one. While the results that wait are large, images are mapped one by one, when it is their turn.
    """
    waiting, lock = 0, threading.Lock()  # bytes of results

    def add(size: int) -> None:
        nonlocal waiting
        with lock:
            waiting += size

    def map_batch(batch: collections.deque[_Image]) -> collections.deque[_Result]:
        results: collections.deque[_Result] = collections.deque()
        while batch and waiting < _RESULT_BYTES:
            results.append(function(batch.popleft()))
            add(size(results[-1]))
        return results

    def take() -> Iterator[_Result]:
        """Yields the results of the first batch without keeping them, then maps the rest of it."""
        batch, mapped = pending.popleft()
        results = mapped.result()
        del mapped
        while results:
            add(-size(results[0]))
            yield results.popleft()
        while batch:
            yield function(batch.popleft())

    workers = len(os.sched_getaffinity(0))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        pending: collections.deque[
            tuple[collections.deque[_Image], concurrent.futures.Future[collections.deque[_Result]]]
        ] = collections.deque()
        sizes: collections.deque[int] = collections.deque()
        for batch in map(collections.deque, batches(images)):
            sizes.append(sum(len(image.contents) for image in batch))
            pending.append((batch, pool.submit(map_batch, batch)))
            alone = sizes[-1] > _LARGE
            del batch  # only the pool has large images
            while pending and (alone or len(pending) > workers + 1 or sum(sizes) > _PENDING_BYTES):
                sizes.popleft()
                yield from take()
        while pending:
            yield from take()


def batches(images: Iterable[_Image]) -> Iterator[list[_Image]]:
    """Groups images into batches of at most 32, ended early once a batch exceeds 1 MiB."""
    batch: list[_Image] = []
    size = 0
    for image in images:
        batch.append(image)
        size += len(image.contents)
        del image  # it may be large
        if len(batch) == _BATCH or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
