"""Source for drawings of cats and dogs, a data set without a download."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL

from common.files import sha256_of
from components import drawings
from components.drawings import CLASSES, draw
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import Label, make_labels
from components.image_example_gen.sources.base.listing import fingerprint_of
from components.image_example_gen.sources.base.source import LabelledImage, Shard, Source, ranges


def open_source(config: DataConfig, *, complete: bool = True) -> Source:
    """`data.count` drawings for `data.seed`, cats and dogs in turn."""
    code = sha256_of(Path(drawings.__file__))
    seen = Counter[Label](CLASSES[number % 2] for number in range(config.count))
    labels = make_labels('drawings', seen, CLASSES)
    return Source(
        labels,
        [DrawingsShard(config, labels, {'': None}, each) for each in ranges(config.count)],
        config.count,
        fingerprint_of((), config.count, config.seed, code, np.__version__, PIL.__version__),
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
