"""Source for generated drawings."""

import dataclasses
import hashlib
import multiprocessing
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import PIL

from components.image_example_gen.sources.base.source_protocol import LabelledImage
from components.image_example_gen.sources.drawings.draw import CLASSES, draw

_CHUNK = 25  # drawings per task of the pool
_PER_SHARD = 4096  # more than in other sources, as each shard starts a pool of processes


class DrawingsSource:
    """`count` drawings for a seed, drawn by one process per core."""

    def __init__(self, count: int, seed: int) -> None:
        self.classes = CLASSES
        self.count = count
        self._seed = seed
        digest = hashlib.sha256(f'{count} {seed} {np.__version__} {PIL.__version__}'.encode())
        for path in sorted(Path(__file__).parent.glob('*.py')):
            digest.update(path.read_bytes())
        self.fingerprint = digest.hexdigest()

    def shards(self) -> list['DrawingsShard']:
        numbers = range(self.count)
        parts = [numbers[start : start + _PER_SHARD] for start in numbers[::_PER_SHARD]]
        return [DrawingsShard(part, self._seed) for part in parts]


@dataclasses.dataclass(frozen=True)
class DrawingsShard:
    """The drawings with these numbers."""

    numbers: range
    seed: int

    def images(self) -> Iterator[LabelledImage]:
        # Forked processes would inherit the threads of TensorFlow and hang.
        context = multiprocessing.get_context('spawn')
        with context.Pool(os.cpu_count()) as pool:
            drawn = pool.imap(partial(draw, seed=self.seed), self.numbers, _CHUNK)
            for number, contents in zip(self.numbers, drawn, strict=True):
                label = number % len(CLASSES)
                yield LabelledImage(contents, label, f'{CLASSES[label]}-{self.seed}-{number}.jpg')
