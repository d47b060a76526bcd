"""Batches of the images of concurrent requests, with a function as model."""

import asyncio
import threading

import anyio
import numpy as np
import pytest

from pipeline.serving.batches import MOST, Batches, Image


class Model:
    """Returns the value of each image; fails for a batch with the image b'bad'."""

    def __init__(self):
        self.calls, self.started, self.may_run = [], threading.Event(), threading.Event()

    def __call__(self, values):
        self.started.set()
        assert self.may_run.wait(30)
        self.calls.append(len(values))
        if b'bad' in values:
            raise ValueError('bad image')
        return [{'value': np.array(value)} for value in values]


def requests(model, *images_of_requests, cancelled=()):
    """Results of concurrent requests, of which the first one starts a batch alone."""

    async def run():
        batches = Batches(model, anyio.CapacityLimiter(1), lambda _: None)
        tasks = [
            asyncio.create_task(batches.rows([Image(value, pixels) for value, pixels in images]))
            for images in images_of_requests
        ]
        assert await asyncio.to_thread(model.started.wait, 30)
        for number in cancelled:
            tasks[number].cancel()
        model.may_run.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    def plain(result):
        return result if isinstance(result, BaseException) else [r['value'].item() for r in result]

    return [plain(result) for result in asyncio.run(run())]


def images(*values, pixels=1):
    return [(value.encode(), pixels) for value in values]


@pytest.fixture
def model():
    return Model()


def test_joins_waiting_requests_and_returns_each_its_rows(model):
    results = requests(model, images('a', 'b'), images('c'), images('d', 'e'))

    assert results == [[b'a', b'b'], [b'c'], [b'd', b'e']]
    assert model.calls == [5]


def test_batches_have_limits_of_images_and_pixels(model):
    requests(model, images(*'x' * (MOST + 3)), images(*'yz', pixels=20_000_000))

    assert model.calls == [MOST, 4, 1]


def test_failing_image_fails_only_its_request(model):
    good, bad, other = requests(model, images('a'), images('b', 'bad'), images('c'))

    assert (good, other) == ([b'a'], [b'c'])
    assert isinstance(bad, ValueError)
    assert model.calls == [4, 1, 1, 1, 1]


def test_cancelled_request_does_not_disturb_others(model):
    cancelled, other = requests(model, images('a'), images('b'), cancelled=[0])

    assert isinstance(cancelled, asyncio.CancelledError)
    assert other == [b'b']
