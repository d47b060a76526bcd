"""Input of the stages of a training: tensors of the images of a split, by their places in it."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from trainer.config.train import DEEP_AND_LONG, TrainConfig
from trainer.model.backbone import Backbone

DEEPER = 'deeper fine_tune'  # key of a planned input
BATCH = 64  # images that are read, and computed by the frozen layers, at a time

# What a stage reads of an image: its pixels, the activations at the fine-tuning boundary, or the
# features after global average pooling.
Kind = Literal['images', 'boundary', 'pooled']
Load = Callable[[tf.Tensor], tf.Tensor]  # places, int64 [batch], to tensors [batch, ...]


class StageInput(NamedTuple):
    """Input of a stage; `views` is the number of variants per training image."""

    kind: Kind
    shape: tuple[int, ...]  # of the tensor of an image
    views: int
    depth: int = 0  # number of the operation of the network that computes it; of pixels 0

    @property
    def dtype(self) -> np.dtype:
        """Type of the stored values: uint8 is lossless for pixels; float16 halves activations."""
        return np.dtype('uint8' if self.kind == 'images' else 'float16')

    def views_of(self, split: str) -> int:
        """Returns the number of views of an image; only those of 'train' are augmented."""
        return self.views if split == 'train' else 1

    @property
    def values(self) -> int:
        """Number of values of an image."""
        return math.prod(self.shape)

    def bytes(self, images: int) -> int:
        """Returns the size of one view of so many images."""
        return images * self.values * self.dtype.itemsize


@dataclasses.dataclass(frozen=True)
class Tensors:
    """Tensors of one split, which are loaded by the places of the images in it."""

    labels: np.ndarray  # int64 [count]
    views: tuple[Load, ...]  # epochs take turns
    are_images: bool  # pixels in 0..255, else activations

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.labels)

    def load(self, places: tf.data.Dataset, view: int = 0) -> tf.data.Dataset:
        """Returns tensors and labels, float32 [batch, 1], of batches of places."""
        labels = self.labels.astype(np.float32)[:, np.newaxis]

        @tf.autograph.experimental.do_not_convert
        def load(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return self.views[view](batch), tf.gather(labels, batch)

        return places.map(load, num_parallel_calls=tf.data.AUTOTUNE)

    def batches(self, batch_size: int = BATCH) -> tf.data.Dataset:
        """Returns the tensors of the first view and labels, once and in order."""
        places = tf.data.Dataset.range(self.count).batch(batch_size)
        return self.load(places).prefetch(tf.data.AUTOTUNE)


def plan_inputs(
    config: TrainConfig, backbone: Backbone, undecided: Sequence[str] = ()
) -> dict[str, StageInput]:
    """Plans the input of each stage that has epochs, by its key in the recipe.

    While keys of `fine_tune` are undecided, the plan has one more, DEEPER: the input of the deepest
    fine-tuning. All have the views of the longest one. So no choice needs another pass over the
    images.

    Stage 1 reads features, stage 2 activations at the boundary. Images, augmented in each epoch,
    are the input of both with `cached_views: 0`, and of stage 2 if every layer is trained. There
    are at most as many views as epochs, and two if the augmentation only flips.
    """
    augment = config.augment
    new_views = augment.cached_views == 0
    tunes_images = new_views or backbone.cut is None
    longest = config.replaced({f'fine_tune.{key}': DEEP_AND_LONG[key] for key in undecided})
    head_epochs, tuning_epochs = config.feature_extraction.epochs, int(longest.fine_tune.epochs)
    epochs = head_epochs if tunes_images else max(head_epochs, tuning_epochs)
    different = 2 if augment.only_flips else epochs
    views = max(1, min(augment.cached_views, epochs, different)) if augment.active else 1
    images = StageInput('images', tuple(backbone.model.input_shape[1:]), 1)
    last = len(backbone.model.operations)
    pooled = StageInput('pooled', tuple(backbone.model.output_shape[-1:]), views, last)
    boundary = StageInput('boundary', backbone.boundary_shape, views, backbone.depth or 0)
    inputs = {}
    if head_epochs:
        inputs['feature_extraction'] = images if new_views else pooled
    if tuning_epochs:
        inputs['fine_tune'] = images if tunes_images else boundary
    if undecided:
        inputs[DEEPER] = plan_inputs(longest, backbone.before(longest.fine_tune))['fine_tune']
    return inputs
