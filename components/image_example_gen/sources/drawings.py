"""Source for drawings of cats and dogs, a data set without a download."""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL

from components import drawings
from components.drawings import CLASSES, draw
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import Label, make_labels
from components.image_example_gen.sources.base.source import LabelledImage, Shard, Source, ranges


def open_source(config: DataConfig, *, complete: bool = True) -> Source:
    """`data.count` drawings for `data.seed`, cats and dogs in turn."""
    versions = f'{config.count} {config.seed} {np.__version__} {PIL.__version__}'
    seen = Counter[Label](CLASSES[number % 2] for number in range(config.count))
    labels = make_labels('drawings', seen, CLASSES)
    return Source(
        labels,
        [DrawingsShard(config, labels, {'': None}, each) for each in ranges(config.count)],
        config.count,
        hashlib.sha256(versions.encode() + Path(drawings.__file__).read_bytes()).hexdigest(),
    )


@dataclasses.dataclass(frozen=True)
class DrawingsShard(Shard):
    """The drawings with these numbers."""

    numbers: range

    def images(self) -> Iterator[LabelledImage]:
        for number in self.numbers:
            label, seed = number % len(CLASSES), self.config.seed
            name = f'{CLASSES[label]}-{seed}-{number}.jpg'
            yield LabelledImage(draw(number, seed=seed), label, name)
