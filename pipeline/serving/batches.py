"""Joins the images of concurrent requests into batches."""

import asyncio
import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import anyio
import numpy as np

from pipeline.serving.rest import Row

MOST = 32  # images of a batch
_PIXELS = 32e6  # of a batch of several images, whose decoded pixels are in memory together


class Image(NamedTuple):
    """A checked image."""

    value: bytes | np.ndarray  # a JPEG or PNG file, or preprocessed pixels
    pixels: int  # width times height


@dataclasses.dataclass
class _Waiting:
    image: Image
    row: asyncio.Future[Row]


class Batches:
    """Calls one signature of a model with the images of all requests that wait for it.

    A batch is filled while another one runs, so an image does not wait if the model is idle. If a
    batch fails, its images are predicted one by one: an error concerns only the image that causes
    it.
    """

    def __init__(
        self,
        call: Callable[[Sequence[bytes | np.ndarray]], list[Row]],
        limiter: anyio.CapacityLimiter,
        observe: Callable[[float], object],
    ) -> None:
        self._call, self._limiter, self._observe = call, limiter, observe
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._task: asyncio.Task[None] | None = None

    async def rows(self, images: Sequence[Image]) -> list[Row]:
        """Predicts images, in order; raises the error of the first one that fails."""
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(image, loop.create_future()) for image in images]
        self._waiting.extend(waiting)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return await asyncio.gather(*(each.row for each in waiting))

    async def _run(self) -> None:
        while batch := self._next():
            self._observe(len(batch))
            images = [each.image for each in batch]
            results = await anyio.to_thread.run_sync(self._predict, images, limiter=self._limiter)
            for each, result in zip(batch, results, strict=True):
                if each.row.done():  # the request was cancelled
                    continue
                if isinstance(result, Exception):
                    each.row.set_exception(result)
                else:
                    each.row.set_result(result)

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        pixels = 0
        while self._waiting and len(batch) < MOST:
            pixels += self._waiting[0].image.pixels
            if batch and pixels > _PIXELS:
                break
            each = self._waiting.popleft()
            if not each.row.done():
                batch.append(each)
        return batch

    def _predict(self, images: list[Image]) -> list[Row | Exception]:
        try:
            return [*self._call([image.value for image in images])]
        except Exception as error:  # TensorFlow raises nearly any
            if len(images) == 1:
                return [error]
        return [self._predict([image])[0] for image in images]
