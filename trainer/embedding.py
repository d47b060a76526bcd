"""The frozen part of the network, run once over each image or augmented view.

Later epochs read what it gave from a cache, so they cost only what is trained in them.
"""

import dataclasses
from pathlib import Path

import keras
import tensorflow as tf

from trainer import augmentation, progress
from trainer.activation_cache import CachedTensors, CacheWriter
from trainer.backbone import Backbone
from trainer.config import AugmentConfig, TrainConfig
from trainer.inference import inference_copy


@dataclasses.dataclass(frozen=True)
class Embedded:
    """One split, as the two stages read it.

    Attributes:
        pooled: features after global average pooling, [channels]; None without stage 1.
        boundary: activations at the fine-tuning boundary, or whole images in bytes if every
            layer is trained; None without stage 2.
    """

    pooled: CachedTensors | None
    boundary: CachedTensors | None


def scale(images: tf.Tensor) -> tf.Tensor:
    """From 0..255 to the -1..1 that MobileNetV2 expects, float32."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


def embed(
    split: str, images: tf.data.Dataset, count: int, backbone: Backbone, config: TrainConfig,
    directory: Path,
) -> Embedded:  # fmt: skip
    """Runs the frozen part over a split, `views` times if images are augmented.

    Args:
        split: names the files and the progress bar; only 'train' is augmented.
        images: batches of uint8 [batch, size, size, 3] and labels [batch].
        count: number of images, for the bar.
        backbone: cut at the fine-tuning boundary.
        config: says which stages there are.
        directory: where the cache is written.
    """
    # When the images themselves are cached, each epoch augments them anew.
    augmented = split == 'train' and config.augment.active and backbone.trunk is not None
    views = config.augment.views if augmented else 1
    pooled = boundary = None
    if config.feature_extraction.epochs:
        pooled = CacheWriter(directory, f'{split}-pooled', views, 'float16')
    if config.fine_tune.epochs:
        dtype = 'uint8' if backbone.trunk is None else 'float16'
        boundary = CacheWriter(directory, f'{split}-boundary', views, dtype)
    run = _embedding_function(backbone, config.augment if augmented else None, bool(pooled))
    with progress.bar(f'{split} images, {views} view{"s"[: views - 1]}', count * views) as bar:
        for number, (batch, labels) in enumerate(images):
            for view in range(views):
                seed = tf.constant([config.seed * 1000 + view, number], tf.int32)
                at_boundary, features = run(batch, seed)
                if pooled:
                    pooled.append(view, features.numpy(), labels.numpy())
                if boundary:
                    boundary.append(view, at_boundary.numpy(), labels.numpy())
                bar.advance(len(labels))
    return Embedded(pooled.finish() if pooled else None, boundary.finish() if boundary else None)


def _embedding_function(
    backbone: Backbone, augment: AugmentConfig | None, needs_pooled: bool
) -> tf.types.experimental.PolymorphicFunction:
    pool = keras.layers.GlobalAveragePooling2D()
    trunk = None if backbone.trunk is None else inference_copy(backbone.trunk)
    top = None if backbone.top is None or not needs_pooled else inference_copy(backbone.top)

    @tf.function(reduce_retracing=True)
    def run(images: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if trunk is None:  # augmented when read
            at_boundary, top_input = images, scale(images)
        else:
            changed = images if augment is None else augmentation.augment(images, augment, seed)
            at_boundary = top_input = trunk(scale(changed))
        if not needs_pooled:
            return at_boundary, tf.zeros([0])
        return at_boundary, pool(top_input if top is None else top(top_input))

    return run
