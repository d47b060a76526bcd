"""Runs the frozen part of the network once per image or augmented view, into the activation cache.

Epochs that read the cache run the trained layers only.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import keras
import tensorflow as tf

from common import console
from trainer.config.train import TrainConfig
from trainer.data import augmentation
from trainer.data.activation_cache import CachedTensors, CacheWriter
from trainer.data.cache_plan import cached_views
from trainer.model.backbone import Backbone
from trainer.model.folding import fold

CachedLevel = Literal['boundary', 'pooled']


def scale(images: tf.Tensor) -> tf.Tensor:
    """Scales pixels from 0..255 to -1..1, float32, the input range of MobileNetV2."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


class Embedder:
    """Computes the cached tensors of each split with the frozen part of a backbone."""

    def __init__(self, backbone: Backbone, config: TrainConfig, directory: Path) -> None:
        """Writes caches to `directory`, for the stages of `config` that have epochs."""
        self._backbone = backbone
        self._config = config
        self._directory = directory
        self._augment = tf.function(
            lambda images, seed: augmentation.augment(images, config.augment, seed), autograph=False
        )
        images = tf.TensorSpec([None, *backbone.model.input_shape[1:]], tf.uint8)
        self._network = tf.function(
            self._frozen_network(), input_signature=[images], autograph=False
        )

    def embed(
        self, split: str, images: tf.data.Dataset, count: int
    ) -> dict[CachedLevel, CachedTensors]:
        """Caches one split, with `views` variants of each image if images are augmented.

        Args:
            split: name for the files and the progress bar; only 'train' is augmented.
            images: batches of uint8 [batch, size, size, 3] and labels [batch, 1].
            count: number of images, for the progress bar.

        Returns:
            'pooled', if stage 1 has epochs: features after global average pooling, [channels].
            'boundary', if stage 2 has epochs: activations at the fine-tuning boundary, or uint8
            images if every layer is trained.
        """
        config, keeps_images = self._config, self._backbone.trunk is None
        augmented = split == 'train' and config.augment.active
        views = cached_views(config, self._backbone) if augmented else 1
        writers: dict[CachedLevel, CacheWriter] = {}
        if config.feature_extraction.epochs:
            writers['pooled'] = CacheWriter(self._directory, f'{split}-pooled', views, 'float16')
        if config.fine_tune.epochs:
            dtype, copies = ('uint8', 1) if keeps_images else ('float16', views)
            writers['boundary'] = CacheWriter(self._directory, f'{split}-boundary', copies, dtype)
        with console.bar(f'{split} images, {views} view{"s"[: views - 1]}', count * views) as bar:
            for number, (batch, labels) in enumerate(images):
                if keeps_images and 'boundary' in writers:
                    writers['boundary'].append(0, batch.numpy(), labels.numpy())
                for view in range(views):
                    seed = tf.constant([config.seed * 1000 + view, number], tf.int32)
                    inputs = self._augment(batch, seed) if augmented else batch
                    for level, tensors in self._network(inputs).items():
                        writers[level].append(view, tensors.numpy(), labels.numpy())
                    bar.advance(len(labels))
        return {level: writer.finish() for level, writer in writers.items()}

    def _frozen_network(self) -> Callable[[tf.Tensor], dict[CachedLevel, tf.Tensor]]:
        """Returns a function from uint8 images to the tensors that the stages need."""
        pool = keras.layers.GlobalAveragePooling2D(dtype='float32')
        needs_pooled = self._config.feature_extraction.epochs > 0
        needs_boundary = self._config.fine_tune.epochs > 0 and self._backbone.trunk is not None
        trunk, top = self._backbone.trunk, self._backbone.top
        trunk = None if trunk is None else fold(trunk)
        top = None if top is None or not needs_pooled else fold(top)

        def network(images: tf.Tensor) -> dict[CachedLevel, tf.Tensor]:
            boundary = scale(images) if trunk is None else trunk(scale(images))
            outputs: dict[CachedLevel, tf.Tensor] = {}
            if needs_boundary:
                outputs['boundary'] = boundary
            if needs_pooled:
                outputs['pooled'] = pool(boundary if top is None else top(boundary))
            return outputs

        return network
