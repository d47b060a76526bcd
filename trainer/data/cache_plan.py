"""How much the activation cache will take on disk, before anything is written."""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from common.errors import ConfigError
from trainer.config.train import TrainConfig
from trainer.data.activation_cache import LABEL_BYTES
from trainer.model.backbone import Backbone

_GIGABYTE = 1e9


@dataclasses.dataclass(frozen=True)
class CachePlan:
    """What is kept of the images.

    Attributes:
        views: augmented copies of each training image; 1 if nothing is augmented.
        images: number of training images and of all others.
        size: bytes of the whole cache.
        limit: bytes that the recipe allows.
    """

    views: int
    images: tuple[int, int]
    size: int
    limit: float

    def __str__(self) -> str:
        views = f'{self.views} view' + 's' * (self.views > 1)
        return (
            f'activation cache: {views} of {self.images[0]} images and 1 of {self.images[1]}, '
            f'{_gigabytes(self.size)} on disk (limit {_gigabytes(self.limit)})'
        )


def cached_views(config: TrainConfig, backbone: Backbone) -> int:
    """Views of each training image: never more than there are epochs to see them.

    Where fine-tuning reads images it changes them anew in every epoch, so only the head has views.
    """
    if not config.augment.active:
        return 1
    epochs = [config.feature_extraction.epochs]
    if backbone.trunk is not None:
        epochs.append(config.fine_tune.epochs)
    return max(1, min(config.augment.views, max(epochs)))


def plan_cache(
    config: TrainConfig, backbone: Backbone, counts: Mapping[str, int], directory: Path
) -> CachePlan:
    """The plan of a cache in a directory, for `counts` images in splits 'train' and 'eval'.

    Raises:
        ConfigError: it would be larger than `cache_gigabytes`, or than the disk has room.
    """
    views = cached_views(config, backbone)
    size = 0
    if config.feature_extraction.epochs:
        pooled = backbone.whole.output_shape[-1] * 2 + LABEL_BYTES  # float16
        size += (counts['train'] * views + counts['eval']) * pooled
    if config.fine_tune.epochs:
        keeps_images = backbone.trunk is None
        boundary = int(np.prod(backbone.boundary_shape)) * (1 if keeps_images else 2) + LABEL_BYTES
        size += (counts['train'] * (1 if keeps_images else views) + counts['eval']) * boundary
    limit = config.cache_gigabytes * _GIGABYTE
    plan = CachePlan(views, (counts['train'], counts['eval']), size, limit)
    if plan.size > plan.limit:
        raise ConfigError(
            f'{plan}: raise trainer.cache_gigabytes, lower trainer.augment.views, or set '
            'trainer.cache to off'
        )
    free = shutil.disk_usage(directory).free
    if plan.size > free:
        raise ConfigError(
            f'{plan}, but {directory} has {_gigabytes(free)} left: free some, lower '
            'trainer.augment.views, or set trainer.cache to off'
        )
    return plan


def _gigabytes(size: float) -> str:
    return f'{size / _GIGABYTE:.1f} GB' if size >= 0.1 * _GIGABYTE else f'{size / 1e6:.1f} MB'
