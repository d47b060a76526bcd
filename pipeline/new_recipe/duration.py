"""Estimates the time of a run from a short measurement on this machine."""

import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from trainer.config.train import TrainConfig

# Seconds on 2 cores of an AMD EPYC, from benchmarks/README.md.
_FIXED = 32.0  # imports, export, metrics, corrupted copies, report
_PER_TEST_IMAGE = 5e-3  # decoding and prediction
_VIEW = 2.75e-3  # forward pass of MobileNetV2 1.0 at 160x160, one view of one image
_TRAINING = {'block_6_expand': 8e-3, 'block_13_expand': 1.9e-3, 'block_14_expand': 1.6e-3}
_NARROW = 0.2  # of the above with the width 0.35
_PRODUCT = 20e-3  # product of two matrices of _SIZE on that machine
_SIZE, _PRODUCTS = 1024, 5


class Duration(NamedTuple):
    """An estimated time in seconds."""

    seconds: float
    speed: float  # of this machine; 1 is that of the benchmarks

    def __str__(self) -> str:
        if self.seconds < 90:
            return f'about {max(round(self.seconds, -1), 10):.0f} seconds'
        minutes = self.seconds / 60
        return f'about {minutes:.0f} minutes' if minutes < 90 else f'about {minutes / 60:.0f} hours'


def estimate(
    trainer: TrainConfig, images: Mapping[str, int], count: int, seconds_per_image: float
) -> Duration:
    """Estimates a run without a GPU, from the images of each split and the time to decode one."""
    factor = (trainer.image_size / 160) ** 2 * (_NARROW if trainer.alpha < 0.5 else 1)
    views = trainer.augment.cached_views if trainer.augment.changes_geometry else 2
    passes = images['train'] * views + images['eval'] * (2 if trainer.flip_averaging else 1)
    steps = images['train'] * trainer.fine_tune.epochs
    computing = factor * (passes * _VIEW + steps * _TRAINING[str(trainer.fine_tune.from_layer)])
    computing += images['test'] * _PER_TEST_IMAGE
    speed = _PRODUCT / _measure_product()
    fixed = _FIXED / min(speed, 1)  # imports and files gain little from fast products
    return Duration(fixed + computing / speed + count * seconds_per_image, speed)


def _measure_product() -> float:
    """Seconds of a product of two matrices; the shortest of several, as others use the machine."""
    matrix = np.ones((_SIZE, _SIZE), np.float32)
    times = []
    for _ in range(_PRODUCTS):
        start = time.perf_counter()
        matrix @ matrix
        times.append(time.perf_counter() - start)
    return min(times)
