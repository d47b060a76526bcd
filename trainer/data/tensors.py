"""Input of the stages of a training: tensors of each split, by view."""

import dataclasses
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.data.dataset import Decode, ImageSplit
from trainer.model.backbone import Backbone

BATCH = 64  # images that are read, and computed by the frozen layers, at a time
_EXAMPLES = 4096  # encoded images in a shuffle buffer

# What a stage reads of an image: its pixels, the activations at the fine-tuning boundary, or the
# features after global average pooling.
Kind = Literal['images', 'boundary', 'pooled']


class StageInput(NamedTuple):
    """Input of a stage; `views` is the number of variants per training image."""

    kind: Kind
    shape: tuple[int, ...]  # of the tensor of an image
    views: int

    @property
    def record(self) -> np.dtype:
        """Type of a record: uint8 is lossless for pixels, and float16 halves activations."""
        dtype = 'uint8' if self.kind == 'images' else 'float16'
        return np.dtype([('tensor', dtype, self.shape), ('label', np.float32)])

    def views_of(self, split: str) -> int:
        """Returns the number of views of an image; only those of 'train' are augmented."""
        return self.views if split == 'train' else 1

    def bytes(self, counts: Mapping[str, int]) -> int:
        """Returns the size of all views of so many images of 'train' and 'eval'."""
        return self.record.itemsize * (counts['train'] * self.views + counts['eval'])


@dataclasses.dataclass(frozen=True)
class Tensors:
    """Tensors of one split as serialised records, in an order that is the same for all views."""

    labels: np.ndarray  # int64 [count]
    views: tuple[tf.data.Dataset, ...]  # of strings; epochs take turns
    # Records, string [batch], to tensors [batch, ...] and labels, float32 [batch, 1]
    decode: Decode
    are_images: bool  # pixels in 0..255, else activations
    shuffle_buffer: int  # maximum number of records in memory

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.labels)

    def batches(self) -> tf.data.Dataset:
        """Returns the tensors of the first view and labels, once and in order."""
        records = self.views[0].batch(BATCH)
        return records.map(self.decode, num_parallel_calls=tf.data.AUTOTUNE).prefetch(1)


def images_of(split: ImageSplit) -> Tensors:
    """Returns the images of a split, decoded whenever they are read."""
    records = split.record_files.batches(BATCH).unbatch()
    return Tensors(split.labels, (records,), split.decode, True, _EXAMPLES)


def plan_inputs(config: TrainConfig, backbone: Backbone) -> dict[str, StageInput]:
    """Plans the input of each stage that has epochs, by its key in the recipe.

    Stage 1 reads features, stage 2 activations at the boundary. Images, augmented in each epoch,
    are the input of both with `cached_views: 0`, and of stage 2 if every layer is trained. There
    are at most as many views as epochs, and two if the augmentation only flips.
    """
    augment = config.augment
    new_views = augment.active and augment.cached_views == 0
    tunes_images = new_views or backbone.cut is None
    head_epochs, tuning_epochs = config.feature_extraction.epochs, int(config.fine_tune.epochs)
    epochs = head_epochs if tunes_images else max(head_epochs, tuning_epochs)
    different = 2 if augment.only_flips else epochs
    views = max(1, min(augment.cached_views, epochs, different)) if augment.active else 1
    images = StageInput('images', tuple(backbone.model.input_shape[1:]), 1)
    pooled = StageInput('pooled', tuple(backbone.model.output_shape[-1:]), views)
    boundary = StageInput('boundary', backbone.boundary_shape, views)
    inputs = {}
    if head_epochs:
        inputs['feature_extraction'] = images if new_views else pooled
    if tuning_epochs:
        inputs['fine_tune'] = images if tunes_images else boundary
    return inputs
