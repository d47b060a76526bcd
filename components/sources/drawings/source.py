"""The drawings as a source of images."""

import hashlib
import multiprocessing
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import PIL

from components.sources.base import LabelledImage
from components.sources.drawings import CLASSES, draw

_AT_ONCE = 25


class DrawingsSource:
    """`count` drawings from a seed, drawn by as many processes as there are cores."""

    def __init__(self, count: int, seed: int) -> None:
        self.classes = CLASSES
        self.count = count
        self._seed = seed
        digest = hashlib.sha256(f'{count} {seed} {np.__version__} {PIL.__version__}'.encode())
        for path in sorted(Path(__file__).parent.glob('*.py')):
            digest.update(path.read_bytes())
        self.fingerprint = digest.hexdigest()

    def images(self) -> Iterator[LabelledImage]:
        # A forked child would inherit the threads of TensorFlow, and hang.
        context = multiprocessing.get_context('spawn')
        with context.Pool(os.cpu_count()) as pool:
            drawn = pool.imap(partial(draw, seed=self._seed), range(self.count), _AT_ONCE)
            for index, contents in enumerate(drawn):
                label = index % len(CLASSES)
                yield LabelledImage(contents, label, f'{CLASSES[label]}-{self._seed}-{index}.jpg')
