"""Size of the activation cache, computed before it is written."""

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
    """Content and size of an activation cache.

    Attributes:
        views: augmented variants of each training image; 1 without augmentation.
        images: number of training images and of validation images.
        size: of all files, in bytes.
        limit: maximum size of the recipe, in bytes.
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
    """Returns the number of cached views per training image, at most one per epoch.

    If every layer is trained, stage 2 augments images in each epoch, and only stage 1 uses views.
    """
    if not config.augment.active:
        return 1
    epochs = [config.feature_extraction.epochs]
    if backbone.trunk is not None:
        epochs.append(config.fine_tune.epochs)
    return max(1, min(config.augment.cached_views, max(epochs)))


def plan_cache(
    config: TrainConfig, backbone: Backbone, counts: Mapping[str, int], directory: Path
) -> CachePlan:
    """Plans the cache of a directory.

    Args:
        config: stages, views and size limit.
        backbone: gives the shapes of the cached tensors.
        counts: number of images in 'train' and 'eval'.
        directory: on the disk that gets the cache.

    Raises:
        ConfigError: the cache is larger than `max_cache_gb` or than the free disk space.
    """
    views = cached_views(config, backbone)
    size = 0
    if config.feature_extraction.epochs:
        pooled = backbone.model.output_shape[-1] * 2 + LABEL_BYTES  # float16
        size += (counts['train'] * views + counts['eval']) * pooled
    if config.fine_tune.epochs:
        keeps_images = backbone.trunk is None
        boundary = int(np.prod(backbone.boundary_shape)) * (1 if keeps_images else 2) + LABEL_BYTES
        size += (counts['train'] * (1 if keeps_images else views) + counts['eval']) * boundary
    limit = config.max_cache_gb * _GIGABYTE
    plan = CachePlan(views, (counts['train'], counts['eval']), size, limit)
    if plan.size > plan.limit:
        raise ConfigError(
            f'{plan}: raise trainer.max_cache_gb, lower trainer.augment.cached_views, or set '
            'trainer.cache to off'
        )
    free = shutil.disk_usage(directory).free
    if plan.size > free:
        raise ConfigError(
            f'{plan}, but {directory} has {_gigabytes(free)} left: free disk space, lower '
            'trainer.augment.cached_views, or set trainer.cache to off'
        )
    return plan


def _gigabytes(size: float) -> str:
    return f'{size / _GIGABYTE:.1f} GB' if size >= 0.1 * _GIGABYTE else f'{size / 1e6:.1f} MB'
