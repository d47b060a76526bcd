"""Content and size of the activation cache, computed before it is written.

If it exceeds its limit, only some batches are cached, spread evenly over the data. The others are
recomputed in each epoch, so the limit changes the duration of a training and not its data.
"""

import dataclasses
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from common.errors import ConfigError
from common.files import UNREADABLE, replacing
from trainer.config.train import TrainConfig
from trainer.data.activation_cache import record_type
from trainer.model.backbone import Backbone

BATCH = 64  # images per call of the frozen layers; a batch is cached or recomputed as a whole

_USABLE = 0.9  # of the free disk space: logs and other processes need some too
_KEYS = ('feature_extraction', 'fine_tune')  # of the stages, in their order
_SPLITS = {'eval': 'validation', 'train': 'training'}  # in the order in which they get space


class CachedStage(NamedTuple):
    """Cached input of a stage; `views` is the number of variants per training image."""

    record: np.dtype
    views: int

    def views_of(self, split: str) -> int:
        """Returns the number of views of an image; only those of 'train' are augmented."""
        return self.views if split == 'train' else 1

    def image_bytes(self, split: str) -> int:
        """Returns the size of all views of an image."""
        return self.record.itemsize * self.views_of(split)

    @property
    def holds_images(self) -> bool:
        """Whether the tensors are images, not activations."""
        return bool(self.record['tensor'].base == np.uint8)


def plan_stages(config: TrainConfig, backbone: Backbone) -> dict[str, CachedStage]:
    """Plans the cache of each stage that has epochs, by its key in the recipe.

    Stage 1 reads features after global average pooling, stage 2 activations at the fine-tuning
    boundary. Images, augmented in each epoch, are the input of both with `cached_views: 0`, and of
    stage 2 if every layer is trained. There are at most as many views as epochs, and two if the
    augmentation only flips.
    """
    new_views = config.augment.active and config.augment.cached_views == 0
    tunes_images = new_views or backbone.trunk is None
    head_epochs, tuning_epochs = config.feature_extraction.epochs, config.fine_tune.epochs
    epochs = head_epochs if tunes_images else max(head_epochs, tuning_epochs)
    different = epochs if config.augment.changes_geometry else 2  # an image and its mirror image
    most = min(config.augment.cached_views, epochs, different)
    views = max(1, most) if config.augment.active else 1
    images = CachedStage(record_type('uint8', backbone.model.input_shape[1:]), 1)
    pooled = CachedStage(record_type('float16', backbone.model.output_shape[-1:]), views)
    boundary = CachedStage(record_type('float16', backbone.boundary_shape), views)
    stages = {}
    if head_epochs:
        stages['feature_extraction'] = images if new_views else pooled
    if tuning_epochs:
        stages['fine_tune'] = images if tunes_images else boundary
    return stages


@dataclasses.dataclass(frozen=True)
class CachePlan:
    """Content of the activation cache; equal stages share their files."""

    stages: Mapping[str, CachedStage]  # by key in the recipe
    counts: Mapping[str, int]  # images by split, 'train' and 'eval'
    held: Mapping[tuple[str, CachedStage], np.ndarray]  # batches in the cache, bool [batches]
    limit: str  # for the console

    def batches(self, split: str) -> np.ndarray:
        """Returns the numbers of the batches that the cache of any stage holds, int64 [n]."""
        masks = [self.held[split, stage] for stage in self.stages.values()]
        return np.flatnonzero(np.any(masks, axis=0))

    def views_of(self, split: str) -> int:
        """Returns the largest number of views of an image."""
        return max(stage.views_of(split) for stage in self.stages.values())

    def images(self, split: str, batches: np.ndarray) -> int:
        """Returns the number of images in batches, given by their numbers or as a mask."""
        return int(_batch_sizes(self.counts[split])[batches].sum())

    def write(self, path: Path) -> None:
        """Stores the plan: the free space, which limits it, is less once the cache is written."""
        masks = {
            f'{split}-{list(self.stages.values()).index(stage)}': mask
            for (split, stage), mask in self.held.items()
        }
        with replacing(path) as partial, partial.open('wb') as file:
            np.savez(file, limit=self.limit, **masks)

    def __str__(self) -> str:
        """Formats the plan for the console, in one line."""
        needed = held = 0
        parts = []
        for (split, stage), mask in self.held.items():
            count, images = self.counts[split], self.images(split, mask)
            needed += count * stage.image_bytes(split)
            held += images * stage.image_bytes(split)
            if images < count:
                numbers = [
                    f'{n}' for n, key in enumerate(_KEYS, 1) if self.stages.get(key) == stage
                ]
                parts.append(
                    f'; stage{"s"[: len(numbers) - 1]} {" and ".join(numbers)}: '
                    f'{images} {_SPLITS[split]} images held, '
                    f'{count - images} {"decoded" if stage.holds_images else "recomputed"} in each '
                    'epoch'
                )
        views, size = self.views_of('train'), _gigabytes(held)
        return (
            f'activation cache: {views} view{"s" * (views > 1)} of {self.counts["train"]} images '
            f'and 1 of {self.counts["eval"]}, '
            f'{f"{size} of {_gigabytes(needed)}" if parts else size} on disk '
            f'(limit {self.limit}){"".join(parts)}'
        )


def read_plan(
    path: Path, config: TrainConfig, backbone: Backbone, counts: Mapping[str, int]
) -> CachePlan | None:
    """Reads a stored plan of the same training; None if there is none or it is damaged."""
    stages = plan_stages(config, backbone)
    try:
        # NumPy leaves a damaged file open that it has opened itself.
        with path.open('rb') as file, np.load(file, allow_pickle=False) as stored:
            held = {
                (split, stage): stored[f'{split}-{list(stages.values()).index(stage)}']
                for stage in stages.values()
                for split in _SPLITS
            }
            return CachePlan(stages, counts, held, str(stored['limit']))
    except UNREADABLE:
        return None


def plan_cache(
    config: TrainConfig, backbone: Backbone, counts: Mapping[str, int], directory: Path
) -> CachePlan:
    """Plans the cache of 'train' and 'eval' within `max_cache_gb` and the free disk space.

    The head comes first: its features are small and save the complete network. Then come the
    validation images of fine-tuning, and its training images. Raises ConfigError if the disk has
    too little space for any batch.
    """
    stages = plan_stages(config, backbone)
    limit, free = config.max_cache_gb * 1e9, shutil.disk_usage(directory).free
    left = min(limit, free * _USABLE)
    held = {}
    for stage in dict.fromkeys(stages.values()):
        for split in _SPLITS:
            sizes, image = _batch_sizes(counts[split]), stage.image_bytes(split)
            held[split, stage] = _spread(counts[split], int(left // image))
            left -= sizes[held[split, stage]].sum() * image
    masks = held.values()
    if free * _USABLE < limit and not any(mask.any() for mask in masks):
        raise ConfigError(
            f'{directory} has {_gigabytes(free)} left, too little for an activation cache: free '
            'disk space, or set trainer.cache to off'
        )
    if free * _USABLE < limit and not all(mask.all() for mask in masks):
        usable = f'{_gigabytes(free * _USABLE)}, {_USABLE:.0%} of the free disk space'
        return CachePlan(stages, counts, held, usable)
    return CachePlan(stages, counts, held, _gigabytes(limit))


def _batch_sizes(count: int) -> np.ndarray:
    """Returns the number of images in each batch, int64 [batches]."""
    return np.diff([*range(0, count, BATCH), count])


def _spread(count: int, room: int) -> np.ndarray:
    """Chooses evenly spaced batches with at most `room` of `count` images, bool [batches]."""
    batches = math.ceil(count / BATCH)
    chosen = batches if room >= count else room // BATCH
    return np.diff(np.arange(batches + 1) * chosen // max(batches, 1)) > 0


def _gigabytes(size: float) -> str:
    return f'{size / 1e9:.1f} GB' if size >= 1e8 else f'{size / 1e6:.1f} MB'
