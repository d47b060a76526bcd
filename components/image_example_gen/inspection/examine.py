"""Checks, converts and measures images, in worker processes that import TensorFlow."""

import collections
import contextlib
import dataclasses
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Literal, TypeVar

from common.errors import DataError, Rejected, WorkerDied
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.limited_process import (
    Worker,
    end_servers,
    start_workers,
)
from components.image_example_gen.inspection.measures import Measures

_BATCH, _BATCH_BYTES = 32, 2**20
_LARGE = 2**24  # bytes of a batch that is in memory alone
_MOST_WORKERS = 8
_MOST_DEATHS = 20  # of workers, each of which may have taken half a minute of CPU time

_Item = TypeVar('_Item')


@dataclasses.dataclass(frozen=True)
class GoodImage:
    """An image that TensorFlow decodes, and its measures."""

    contents: bytes  # for `tf.io.decode_image(channels=3)`; those of the file where possible
    format: Literal['jpeg', 'png']
    width: int  # upright
    height: int
    measures: Measures
    perceptual_hash: bytes


class _Pool:
    """The workers of this process, as many as it has processors. Thread-safe."""

    def __init__(self) -> None:
        self.deaths = 0  # of workers, since the last `start`
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._size, self._lock = 0, threading.Lock()

    def start(self) -> None:
        with self._lock:
            if not self._size:
                self._size = min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
                for worker in start_workers(_MODULE, self._size):
                    self._idle.put(worker)

    def take(self, *, wait: bool) -> Worker | None:
        self.start()
        with contextlib.suppress(queue.Empty):
            return self._idle.get(block=wait)
        return None

    def give_back(self, worker: Worker) -> None:
        if not worker.is_lost:
            self._idle.put(worker)
            return
        with self._lock:
            self._size -= 1
        self.start()  # if there is none left


_MODULE = 'components.image_example_gen.inspection.decoding'  # imports TensorFlow
_pool = _Pool()


def _use_new_pool() -> None:
    global _pool
    _pool = _Pool()


os.register_at_fork(after_in_child=_use_new_pool)


class _Batch(Generic[_Item]):
    """Images that one worker examines."""

    def __init__(self, items: list[tuple[_Item, bytes | None]], config: CheckConfig) -> None:
        self._items, self._config = collections.deque(items), config
        self._worker: Worker | None = None

    def send(self, *, wait: bool = True) -> bool:
        """Sends the images to a worker; returns False if there is none and it does not wait."""
        self._worker = _pool.take(wait=wait)
        if self._worker:
            try:
                self._worker.send([contents for _, contents in self._items], self._config)
            except DataError:
                self.stop()
                raise
        return self._worker is not None

    def outcomes(self) -> Iterator[tuple[_Item, GoodImage | Rejected | None]]:
        """Yields each item, in order, and removes it."""
        while self._items:
            outcome = self._receive()
            item, contents = self._items.popleft()
            if isinstance(outcome, GoodImage) and contents and not outcome.contents:
                outcome = dataclasses.replace(outcome, contents=contents)
            del contents
            yield item, outcome
            del item, outcome  # they may be large
        if self._worker:
            self._worker.receive()  # the end
            _pool.give_back(self._worker)
            self._worker = None

    def _receive(self) -> GoodImage | Rejected | None:
        while True:
            assert self._worker
            try:
                return self._worker.receive()
            except WorkerDied as died:
                _pool.deaths += 1
                _pool.give_back(self._worker)
                outcome = None if self._worker.is_lost else _rejected(died)
                first = self._items.popleft() if outcome else None
                self._worker = None
                if self._items:
                    self.send()
                if first:
                    self._items.appendleft(first)
                    return outcome

    def stop(self) -> None:
        """Ends the work on the images that are left."""
        if self._worker:
            self._worker.interrupt()
            _pool.give_back(self._worker)
            self._worker = None


def _rejected(died: WorkerDied) -> Rejected:
    if died.signal == signal.SIGXCPU:
        return Rejected('too large', 'decoding it takes more CPU time than its size allows')
    return Rejected('damaged', f'its decoder crashes (signal {died.signal})')


def start() -> None:
    """Starts the worker processes; otherwise the first image does. Their imports take seconds."""
    _pool.start()


@contextlib.contextmanager
def worker_processes() -> Iterator[None]:
    """Starts the worker processes of a run, and ends them to free their memory.

    At the end no thread may use one.
    """
    _pool.deaths = 0
    start()
    try:
        yield
    finally:
        _use_new_pool()
        end_servers()


def examine(contents: bytes, config: CheckConfig) -> GoodImage:
    """Checks an image, and converts it if necessary; thread-safe.

    Colour profiles are not applied, as TensorFlow does not apply them either.

    Raises:
        Rejected: the image is refused.
        DataError: the worker processes cannot start.
    """
    batch = _Batch([(None, contents)], config)
    try:
        batch.send()
        ((_, outcome),) = batch.outcomes()
    finally:
        batch.stop()
    if isinstance(outcome, GoodImage):
        return outcome
    assert outcome
    raise outcome


def examine_all(
    images: Iterable[tuple[_Item, bytes | None]], config: CheckConfig
) -> Iterator[tuple[_Item, GoodImage | Rejected | None]]:
    """Yields each item with the outcome for its contents, in order; None where they are None.

    Holds one batch of images for each worker in memory.

    Raises:
        DataError: too many images ended their worker, or the workers cannot start.
    """
    pending: collections.deque[_Batch[_Item]] = collections.deque()

    def oldest() -> Iterator[tuple[_Item, GoodImage | Rejected | None]]:
        for outcome in pending[0].outcomes():
            if _pool.deaths > _MOST_DEATHS:
                problem = 'crashed their decoder, or took more CPU time than their sizes allow'
                raise DataError(f'{_pool.deaths} images {problem}')
            yield outcome
        pending.popleft()

    try:
        for items in batches(images, lambda pair: len(pair[1] or b'')):
            large = sum(len(contents or b'') for _, contents in items) > _LARGE
            batch = _Batch(items, config)
            del items
            while pending and (large or not batch.send(wait=False)):
                yield from oldest()
            if not pending:
                batch.send()
            pending.append(batch)
            if large:
                yield from oldest()
        while pending:
            yield from oldest()
    finally:
        for batch in pending:
            batch.stop()


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
