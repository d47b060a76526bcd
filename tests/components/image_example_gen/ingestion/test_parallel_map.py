import gc
import os
import time
from typing import NamedTuple

from components.image_example_gen.ingestion.parallel_map import parallel_map


class Image(NamedTuple):
    number: int
    contents: bytes = bytes(2**20 + 1)  # a batch of its own


class Result:
    def __init__(self, image):
        self.number = image.number


def test_few_large_results_wait_for_a_slow_image(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: range(16))
    waiting = []

    def work(image):
        if image.number == 0:
            time.sleep(0.5)
            waiting.append(sum(isinstance(each, Result) for each in gc.get_objects()))
        return Result(image)

    images = map(Image, range(40))
    numbers = [each.number for each in parallel_map(work, images, lambda _: 2**25)]

    assert numbers == [*range(40)]
    assert waiting[0] < 8  # of 17; a thread that has begun to map an image keeps its result
