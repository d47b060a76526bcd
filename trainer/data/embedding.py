"""Runs the frozen part of the network once per image or view, into the activation cache.

Batches that exceed the limit of the cache are recomputed whenever an epoch reads them.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from common import console
from trainer.config.train import TrainConfig
from trainer.data import augmentation
from trainer.data.activation_cache import (
    CachedTensors,
    CacheWriter,
    cache_files,
    interleave,
    open_cache,
    serialize,
)
from trainer.data.cache_plan import BATCH, CachedStage, CachePlan
from trainer.data.dataset import ImageSplit
from trainer.model.backbone import Backbone
from trainer.model.folding import fold


def scale(images: tf.Tensor) -> tf.Tensor:
    """Scales pixels from 0..255 to -1..1, float32, the input range of MobileNetV2."""
    return tf.cast(images, tf.float32) / 127.5 - 1.0


class Embedder:
    """Computes the cached tensors of each split; the first view of an image is the plain image.

    An epoch reads one file of a stage. File `f` has view `(f + b) % views` of the images in batch
    `b`, so each epoch mixes the views, and successive epochs have different ones of an image.
    """

    def __init__(
        self, backbone: Backbone, config: TrainConfig, directory: Path, plan: CachePlan
    ) -> None:
        """Writes caches to `directory`."""
        self._config, self._directory, self._plan = config, directory, plan
        # Equal stages share their files.
        self._keys = {stage: key for key, stage in plan.stages.items()}
        images = tf.TensorSpec([None, *backbone.model.input_shape[1:]], tf.uint8)
        seed = tf.TensorSpec([2], tf.int32)

        def augment(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            return augmentation.augment(images, config.augment, seed)

        @functools.cache
        def network(*keys: str) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
            frozen = _frozen_network(backbone, {key: plan.stages[key] for key in keys})
            return tf.function(frozen, autograph=False).get_concrete_function(images)

        # Concrete functions are not traced again in the threads of `tf.data`.
        self._augment = tf.function(augment, autograph=False).get_concrete_function(images, seed)
        self._network = network

    def embed(self, name: str, split: ImageSplit) -> dict[str, CachedTensors]:
        """Caches a split of images for each stage; only the split 'train' is augmented.

        Takes the files of an interrupted training if they are complete.
        """
        if not self.has(name):
            self._write(name, split)
        cached = {}
        for stage, key in self._keys.items():
            files = open_cache(self._files(name, stage), stage.record)
            records = self._completed(name, split, key, files)
            cached[stage] = CachedTensors(records, split.labels, stage.record)
        return {key: cached[stage] for key, stage in self._plan.stages.items()}

    def has(self, name: str) -> bool:
        """Whether the files of a split have their final size; records are only appended."""
        sizes = {
            file: self._plan.images(name, self._plan.held[name, stage]) * stage.record.itemsize
            for stage in self._keys
            for file in self._files(name, stage)
        }
        return all(file.is_file() and file.stat().st_size == size for file, size in sizes.items())

    def _files(self, name: str, stage: CachedStage) -> list[Path]:
        return cache_files(self._directory / f'{name}-{self._keys[stage]}', stage.views_of(name))

    def _write(self, name: str, split: ImageSplit) -> None:
        """Writes the cache of a split, a file per view and stage."""
        plan, keys, numbers = self._plan, self._keys, self._plan.batches(name)
        writers = {
            stage: CacheWriter(
                self._directory / f'{name}-{key}', stage.views_of(name), stage.record
            )
            for stage, key in keys.items()
        }
        network, views = self._network(*keys.values()), plan.views_of(name)
        label = f'{name} images, {views} view{"s"[: views - 1]}'
        with console.bar(label, plan.images(name, numbers) * views) as bar:
            batches = split.chosen_batches(numbers, BATCH)
            for number, (images, labels) in zip(numbers, batches, strict=True):
                for view in range(views):
                    tensors = network(self._view(images, number, view))
                    for stage, key in keys.items():
                        files = stage.views_of(name)
                        if plan.held[name, stage][number] and view < files:
                            file = int(view - number) % files
                            writers[stage].append(file, tensors[key].numpy(), labels.numpy())
                    bar.advance(len(labels))
        for writer in writers.values():
            writer.finish()

    def _completed(
        self, name: str, split: ImageSplit, key: str, cached: tuple[tf.data.Dataset, ...]
    ) -> tuple[tf.data.Dataset, ...]:
        """Returns the serialised records of each file, with the batches that are not cached."""
        stage = self._plan.stages[key]
        held = self._plan.held[name, stage]
        if held.all():
            return cached
        numbers, network = np.flatnonzero(~held), self._network(key)
        batches = tf.data.Dataset.zip(
            (tf.data.Dataset.from_tensor_slices(numbers), split.chosen_batches(numbers, BATCH))
        )

        files = stage.views_of(name)

        def recomputed(file: int) -> tf.data.Dataset:
            def compute(number: np.ndarray, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
                view = int(file + number) % files
                tensors = network(self._view(tf.constant(images), int(number), view))
                records = serialize(stage.record, tensors[key].numpy(), labels)
                return np.array([record.tobytes() for record in records], object)

            # In the graph of `tf.data` the network would run on the CPU, also if there is a GPU.
            @tf.autograph.experimental.do_not_convert
            def run(number: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
                records = tf.numpy_function(compute, [number, *batch], tf.string)
                return tf.ensure_shape(records, [None])

            return batches.map(run).prefetch(1)

        return tuple(
            interleave(records, recomputed(file), held, BATCH)
            for file, records in enumerate(cached)
        )

    def _view(self, images: tf.Tensor, number: int, view: int) -> tf.Tensor:
        """Returns a view of the images of a batch; equal numbers give equal views."""
        if view == 0:
            return images
        if not self._config.augment.changes_geometry:
            return tf.reverse(images, [2])  # mirrored: more views would repeat one of these two
        return self._augment(images, tf.constant([self._config.seed * 1000 + view, number]))


def _frozen_network(
    backbone: Backbone, stages: Mapping[str, CachedStage]
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns a function from uint8 images to the tensors that the stages read."""
    read = {key for key, stage in stages.items() if not stage.holds_images}
    pool = keras.layers.GlobalAveragePooling2D(dtype='float32')
    trunk = backbone.trunk and read and fold(backbone.trunk)
    top = backbone.top and 'feature_extraction' in read and fold(backbone.top)

    def network(images: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = {key: images for key in stages if key not in read}
        boundary = trunk(scale(images)) if trunk else scale(images)
        if 'fine_tune' in read:
            outputs['fine_tune'] = boundary
        if 'feature_extraction' in read:
            outputs['feature_extraction'] = pool(top(boundary) if top else boundary)
        return outputs

    return network
