"""The frozen part of the network, run once over each image or augmented view.

Later epochs read what it gave from a cache, so they cost only what is trained in them.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from common import console
from trainer.config.train import TrainConfig
from trainer.data import augmentation
from trainer.data.activation_cache import CachedTensors, CacheWriter
from trainer.data.cache_plan import cached_views
from trainer.model.backbone import Backbone
from trainer.model.folding import fold


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


class Embedder:
    """The frozen part of a backbone, ready to run; made once, it serves every split."""

    def __init__(self, backbone: Backbone, config: TrainConfig, directory: Path) -> None:
        """Caches go to `directory`; `config` says which stages need them."""
        self._backbone = backbone
        self._config = config
        self._directory = directory
        self._augment = tf.function(
            lambda images, seed: augmentation.augment(images, config.augment, seed), autograph=False
        )
        images = tf.TensorSpec([None, *backbone.whole.input_shape[1:]], tf.uint8)
        self._network = tf.function(
            self._frozen_network(), input_signature=[images], autograph=False
        )

    def embed(self, split: str, images: tf.data.Dataset, count: int) -> Embedded:
        """Runs the frozen part over a split, `views` times if images are augmented.

        Args:
            split: names the files and the progress bar; only 'train' is augmented.
            images: batches of uint8 [batch, size, size, 3] and labels [batch, 1].
            count: number of images, for the bar.
        """
        config, keeps_images = self._config, self._backbone.trunk is None
        augmented = split == 'train' and config.augment.active
        views = cached_views(config, self._backbone) if augmented else 1
        pooled = boundary = None
        if config.feature_extraction.epochs:
            pooled = CacheWriter(self._directory, f'{split}-pooled', views, 'float16')
        if config.fine_tune.epochs:
            dtype = 'uint8' if keeps_images else 'float16'
            kept = 1 if keeps_images else views
            boundary = CacheWriter(self._directory, f'{split}-boundary', kept, dtype)
        with console.bar(f'{split} images, {views} view{"s"[: views - 1]}', count * views) as bar:
            for number, (batch, labels) in enumerate(images):
                if boundary and keeps_images:
                    boundary.append(0, batch.numpy(), labels.numpy())
                for view in range(views):
                    seed = tf.constant([config.seed * 1000 + view, number], tf.int32)
                    seen = self._augment(batch, seed) if augmented else batch
                    at_boundary, features = self._network(seen)
                    if pooled:
                        pooled.append(view, features.numpy(), labels.numpy())
                    if boundary and not keeps_images:
                        boundary.append(view, at_boundary.numpy(), labels.numpy())
                    bar.advance(len(labels))
        return Embedded(
            pooled.finish() if pooled else None, boundary.finish() if boundary else None
        )

    def _frozen_network(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """From images in bytes to the boundary, and to pooled features if they are needed."""
        pool = keras.layers.GlobalAveragePooling2D(dtype='float32')
        needs_pooled = self._config.feature_extraction.epochs > 0
        trunk, top = self._backbone.trunk, self._backbone.top
        trunk = None if trunk is None else fold(trunk)
        top = None if top is None or not needs_pooled else fold(top)

        def network(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            at_boundary = images if trunk is None else trunk(scale(images))
            if not needs_pooled:
                return at_boundary, tf.zeros([0])
            top_input = scale(images) if trunk is None else at_boundary
            return at_boundary, pool(top_input if top is None else top(top_input))

        return network
