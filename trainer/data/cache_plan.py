"""Content and size of the activation cache, computed before it is written."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import ConfigError
from trainer.config.train import TrainConfig
from trainer.data.activation_cache import record_type
from trainer.model.backbone import Backbone

_REMEDY = 'lower trainer.augment.cached_views to 2 or 0, or set trainer.cache to off'


class CachedStage(NamedTuple):
    """Cached input of a stage; `views` is the number of variants per training image."""

    record: np.dtype
    views: int

    @property
    def holds_images(self) -> bool:
        """Whether the tensors are images, not activations."""
        return bool(self.record['tensor'].base == np.uint8)


def plan_stages(config: TrainConfig, backbone: Backbone) -> dict[str, CachedStage]:
    """Plans the cache of each stage that has epochs, by its key in the recipe.

    Stage 1 reads features after global average pooling, stage 2 activations at the fine-tuning
    boundary. Images, augmented in each epoch, are the input of both with `cached_views: 0`, and of
    stage 2 if every layer is trained. There are at most as many views as epochs.
    """
    new_views = config.augment.active and config.augment.cached_views == 0
    tunes_images = new_views or backbone.trunk is None
    head_epochs, tuning_epochs = config.feature_extraction.epochs, config.fine_tune.epochs
    epochs = head_epochs if tunes_images else max(head_epochs, tuning_epochs)
    views = max(1, min(config.augment.cached_views, epochs)) if config.augment.active else 1
    images = CachedStage(record_type('uint8', backbone.model.input_shape[1:]), 1)
    pooled = CachedStage(record_type('float16', backbone.model.output_shape[-1:]), views)
    boundary = CachedStage(record_type('float16', backbone.boundary_shape), views)
    stages = {}
    if head_epochs:
        stages['feature_extraction'] = images if new_views else pooled
    if tuning_epochs:
        stages['fine_tune'] = images if tunes_images else boundary
    return stages


def plan_cache(
    config: TrainConfig, backbone: Backbone, counts: Mapping[str, int], directory: Path
) -> str:
    """Describes the cache of 'train' and 'eval' for the console.

    Raises ConfigError if it is larger than `max_cache_gb` or than the free space on the disk.
    """
    stages = set(plan_stages(config, backbone).values())  # equal ones share their files
    size = sum(
        (counts['train'] * stage.views + counts['eval']) * stage.record.itemsize for stage in stages
    )
    views, limit = max(stage.views for stage in stages), config.max_cache_gb * 1e9
    plan = (
        f'activation cache: {views} view{"s" * (views > 1)} of {counts["train"]} images and 1 of '
        f'{counts["eval"]}, {_gigabytes(size)} on disk (limit {_gigabytes(limit)})'
    )
    if size > limit:
        raise ConfigError(f'{plan}: raise trainer.max_cache_gb, {_REMEDY}')
    free = shutil.disk_usage(directory).free
    if size > free:
        left = _gigabytes(free)
        raise ConfigError(f'{plan}, but {directory} has {left} left: free disk space, {_REMEDY}')
    return plan


def _gigabytes(size: float) -> str:
    return f'{size / 1e9:.1f} GB' if size >= 1e8 else f'{size / 1e6:.1f} MB'
