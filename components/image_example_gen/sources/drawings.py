"""Source for drawings of cats and dogs, a data set without a download."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
import PIL

from common.files import sha256_of
from components import drawings
from components.drawings import CLASSES, draw
from components.image_example_gen.inspection.examine import WORKERS
from components.image_example_gen.inspection.limited_process import Limits, call
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import Label
from components.image_example_gen.sources.base.listing import fingerprint_of
from components.image_example_gen.sources.base.source import (
    BadImage,
    LabelledImage,
    Shard,
    Source,
    ranges,
)


def open_source(config: DataConfig) -> Source:
    """`data.count` drawings for `data.seed`, cats and dogs in turn."""
    code = sha256_of(Path(drawings.__file__))
    seen = Counter[tuple[str, Label]](('', CLASSES[n % 2]) for n in range(config.count))
    return Source(
        'drawings',
        {'': None},
        seen,
        [DrawingsShard(config, each) for each in ranges(config.count)],
        fingerprint_of((), config.count, config.seed, code, np.__version__, PIL.__version__),
    )


@dataclasses.dataclass(frozen=True)
class DrawingsShard(Shard):
    """The drawings with these numbers."""

    numbers: range

    def images(self) -> Iterator[LabelledImage | BadImage]:
        seed = self.config.seed
        limits = Limits(60 + len(self.numbers))
        parts = [self.numbers[first::WORKERS] for first in range(WORKERS)]
        drawn = zip_longest(*(call(limits, _draw, part, seed) for part in parts))
        # Drawings are read from all workers in turn, so that they draw at the same time.
        for drawing, number in zip(chain.from_iterable(drawn), self.numbers, strict=False):
            label = CLASSES[number % len(CLASSES)]
            yield self.to_image(drawing, label, f'{label}-{seed}-{number}.jpg')


def _draw(numbers: range, seed: int) -> Iterator[bytes]:
    """Runs in a worker process."""
    return (draw(number, seed=seed) for number in numbers)
