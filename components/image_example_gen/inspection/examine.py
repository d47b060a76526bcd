"""Checks, converts and measures images in worker processes, which import TensorFlow."""

import collections
import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from common.errors import DataError, Rejected, WorkerDied
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.limited_process import (
    Limits,
    call,
    end_workers,
    start_server,
)
from components.image_example_gen.inspection.measures import GoodImage

_BATCH, _BATCH_BYTES = 32, 2**20
_LARGE = 2**24  # bytes of a batch that is in memory alone
WORKERS = min(len(os.sched_getaffinity(0)), 8)
_MOST_DEATHS = 20  # of workers, each of which may have taken half a minute of CPU time
_DIED = 'decoding it takes more CPU time or memory than its size allows, or crashes the decoder'
_LIMITS = Limits(60)  # until `decoding` sets those of an image
_deaths = 0  # since the start of `worker_processes`
_single = threading.BoundedSemaphore(WORKERS)

_Item = TypeVar('_Item')
_Outcome = GoodImage | Rejected | None

start = start_server  # otherwise the first image does; the imports take seconds


@contextlib.contextmanager
def worker_processes() -> Iterator[None]:
    """Starts the worker processes of a run, and ends them to free their memory.

    At the end no thread may use one.
    """
    global _deaths
    _deaths = 0
    start()
    try:
        yield
    finally:
        end_workers()


def examine(contents: bytes, config: CheckConfig) -> GoodImage:
    """Checks an image, and converts it if necessary; thread-safe.

    Colour profiles are not applied, as TensorFlow does not apply them either.

    Raises:
        Rejected: the image is refused.
        DataError: the worker processes cannot start.
    """
    with _single:
        ((_, outcome),) = examine_all([(None, contents)], config, is_server=True)
    if isinstance(outcome, GoodImage):
        return outcome
    assert outcome
    raise outcome


def examine_all(
    images: Iterable[tuple[_Item, bytes | None]], config: CheckConfig, *, is_server: bool = False
) -> Iterator[tuple[_Item, _Outcome]]:
    """Yields each item with the outcome for its contents, in order; None where they are None.

    Holds one batch of images for each worker in memory.

    Raises DataError if too many images of a run ended their worker, unless this is a server, or the
    workers cannot start.
    """
    sent: collections.deque[tuple[list[tuple[_Item, bytes | None]], Iterator[_Outcome]]]
    sent = collections.deque()

    def send(batch: list[tuple[_Item, bytes | None]]) -> Iterator[_Outcome]:
        return call(_LIMITS, _outcomes, [contents for _, contents in batch], config)

    def oldest() -> Iterator[tuple[_Item, _Outcome]]:
        global _deaths
        batch, outcomes = sent.popleft()
        for number, (item, contents) in enumerate(batch, start=1):
            try:
                outcome = next(outcomes)
            except WorkerDied:
                _deaths += 1
                if _deaths > _MOST_DEATHS and not is_server:
                    problem = 'crashed their decoder, or needed more than their sizes allow'
                    raise DataError(f'{_deaths} images {problem}') from None
                outcome = Rejected('too large', _DIED)
                outcomes = send(batch[number:])
            if isinstance(outcome, GoodImage) and contents and not outcome.contents:
                outcome = dataclasses.replace(outcome, contents=contents)
            yield item, outcome
        for _ in outcomes:  # the end: the worker is idle again
            pass

    for batch in batches(images, lambda pair: len(pair[1] or b'')):
        large = sum(len(contents or b'') for _, contents in batch) > _LARGE
        while sent and (large or len(sent) == WORKERS):
            yield from oldest()
        sent.append((batch, send(batch)))
        if large:
            yield from oldest()
    while sent:
        yield from oldest()


def _outcomes(images: list[bytes | None], config: CheckConfig) -> Iterator[_Outcome]:
    """Runs in a worker."""
    from components.image_example_gen.inspection import decoding  # imports TensorFlow

    return decoding.outcomes(images, config)


def batches(items: Iterable[_Item], size: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """Groups items into batches of at most 32, ended early once one exceeds 1 MiB."""
    batch: list[_Item] = []
    total = 0
    for item in items:
        batch.append(item)
        total += size(item)
        del item  # it may be large
        if len(batch) == _BATCH or total > _BATCH_BYTES:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch
