"""Runs the frozen part of the network once per image or view, into the activation cache."""

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from common import console
from trainer.config.train import TrainConfig
from trainer.data import augmentation
from trainer.data.activation_cache import CachedTensors, CacheWriter
from trainer.data.cache_plan import CachedStage, plan_stages
from trainer.data.dataset import Batches
from trainer.model.backbone import Backbone
from trainer.model.folding import fold

_BATCH = 64


def scale(images: tf.Tensor) -> tf.Tensor:
    """Scales pixels from 0..255 to -1..1, float32, the input range of MobileNetV2."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


class Embedder:
    """Computes the cached tensors of each split, with `views` variants of each training image.

    The first view is the plain image.
    """

    def __init__(self, backbone: Backbone, config: TrainConfig, directory: Path) -> None:
        """Writes caches to `directory`, for the stages of `config` that have epochs."""
        self._config, self._directory = config, directory
        self._stages = plan_stages(config, backbone)
        self.views = max(stage.views for stage in self._stages.values())
        self._augment = tf.function(
            lambda images, seed: augmentation.augment(images, config.augment, seed), autograph=False
        )
        images = tf.TensorSpec([None, *backbone.model.input_shape[1:]], tf.uint8)
        network = _frozen_network(backbone, self._stages)
        self._network = tf.function(network, input_signature=[images], autograph=False)

    def embed(self, name: str, split: Batches) -> dict[str, CachedTensors]:
        """Caches a split of images for each stage; only the split 'train' is augmented."""
        views = self.views if name == 'train' else 1
        writers = {
            stage: CacheWriter(
                self._directory / f'{name}-{number}', min(stage.views, views), stage.record
            )
            for number, stage in enumerate(dict.fromkeys(self._stages.values()))
        }
        label = f'{name} images, {views} view{"s"[: views - 1]}'
        with console.bar(label, split.count * views) as bar:
            for number, (batch, labels) in enumerate(split.batches(_BATCH)):
                for stage in (each for each in writers if each.holds_images):
                    writers[stage].append(0, batch.numpy(), labels.numpy())
                for view in range(views):
                    seed = tf.constant([self._config.seed * 1000 + view, number], tf.int32)
                    inputs = self._augment(batch, seed) if view else batch
                    for key, tensors in self._network(inputs).items():
                        writers[self._stages[key]].append(view, tensors.numpy(), labels.numpy())
                    bar.advance(len(labels))
        written = {stage: writer.finish() for stage, writer in writers.items()}
        return {key: written[stage] for key, stage in self._stages.items()}


def _frozen_network(
    backbone: Backbone, stages: dict[str, CachedStage]
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns a function from uint8 images to the activations that the stages read."""
    read = {key for key, stage in stages.items() if not stage.holds_images}
    pool = keras.layers.GlobalAveragePooling2D(dtype='float32')
    trunk = backbone.trunk and fold(backbone.trunk)
    top = backbone.top and 'feature_extraction' in read and fold(backbone.top)

    def network(images: tf.Tensor) -> dict[str, tf.Tensor]:
        boundary = trunk(scale(images)) if trunk else scale(images)
        outputs = {}
        if 'fine_tune' in read:
            outputs['fine_tune'] = boundary
        if 'feature_extraction' in read:
            outputs['feature_extraction'] = pool(top(boundary) if top else boundary)
        return outputs

    return network
