"""How much the activation cache will take on disk, before anything is written."""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from trainer.activation_cache import LABEL_BYTES
from trainer.backbone import Backbone
from trainer.config import TrainConfig, UnfitError

_GIGABYTE = 1e9


@dataclasses.dataclass(frozen=True)
class CachePlan:
    """What is kept of each image.

    Attributes:
        views: augmented copies of each training image; 1 if nothing is augmented.
        images: number of training images and of all others.
        bytes_per_view: of one image or view, labels included.
        limit: bytes that the recipe allows.
    """

    views: int
    images: tuple[int, int]
    bytes_per_view: int
    limit: float

    @property
    def size(self) -> int:
        """Bytes of the whole cache."""
        train, others = self.images
        return (train * self.views + others) * self.bytes_per_view

    def __str__(self) -> str:
        views = f'{self.views} view' + 's' * (self.views > 1)
        return (
            f'activation cache: {views} of {self.images[0]} images and 1 of {self.images[1]}, '
            f'{_gigabytes(self.size)} on disk (limit {_gigabytes(self.limit)})'
        )


def cached_views(config: TrainConfig, backbone: Backbone) -> int:
    """Views of each training image; where images are cached, every epoch changes them anew."""
    return config.augment.views if config.augment.active and backbone.trunk is not None else 1


def plan_cache(
    config: TrainConfig, backbone: Backbone, counts: Mapping[str, int], directory: Path
) -> CachePlan:
    """The plan of a cache in a directory, for `counts` images in splits 'train' and 'eval'.

    Raises:
        UnfitError: it would be larger than `cache_gigabytes`, or than the disk has room.
    """
    bytes_per_view = 0
    if config.feature_extraction.epochs:
        bytes_per_view += backbone.whole.output_shape[-1] * 2 + LABEL_BYTES  # float16
    if config.fine_tune.epochs:
        shape = backbone.boundary_shape
        bytes_per_view += int(np.prod(shape)) * (1 if backbone.trunk is None else 2) + LABEL_BYTES
    plan = CachePlan(
        views=cached_views(config, backbone),
        images=(counts['train'], counts['eval']),
        bytes_per_view=bytes_per_view,
        limit=config.cache_gigabytes * _GIGABYTE,
    )
    if plan.size > plan.limit:
        raise UnfitError(
            f'{plan}: raise trainer.cache_gigabytes, lower trainer.augment.views, or set '
            'trainer.cache to off'
        )
    free = shutil.disk_usage(directory).free
    if plan.size > free:
        raise UnfitError(
            f'{plan}, but {directory} has {_gigabytes(free)} left: free some, lower '
            'trainer.augment.views, or set trainer.cache to off'
        )
    return plan


def _gigabytes(size: float) -> str:
    return f'{size / _GIGABYTE:.1f} GB' if size >= 0.1 * _GIGABYTE else f'{size / 1e6:.1f} MB'
