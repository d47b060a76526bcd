"""What a stage of training reads: batches from the cache, or from the images in every epoch."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.data import augmentation
from trainer.data.dataset import ImageSplit
from trainer.data.embedding import Embedded, scale

Level = Literal['image', 'boundary', 'pooled']
_EVAL_BATCH = 64


class Batches(Protocol):
    """Tensors and labels of one split: a cache or the images themselves."""

    @property
    def count(self) -> int: ...

    def batches(self, batch_size: int) -> tf.data.Dataset: ...

    def shuffled_batches(self, batch_size: int, epochs: int, seed: int) -> tf.data.Dataset: ...

    def labels(self) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class StageData:
    """The batches of one stage.

    Attributes:
        level: where the network takes them up.
        train: endless shuffled batches of inputs, float32 [batch, ...], labels, and, with class
            weights, weights float32 [batch, 1]; an epoch takes `steps`. Labels are float32: the
            share of the second of two classes, [batch, 1], or of each of more, [batch, classes].
        eval: inputs and labels, once, in order.
        steps: batches per epoch.
        images: images per epoch.
    """

    level: Level
    train: tf.data.Dataset
    eval: tf.data.Dataset
    steps: int
    images: int


def from_cache(
    splits: Mapping[str, Embedded],
    level: Level,
    epochs: int,
    config: TrainConfig,
    classes: Sequence[str],
) -> StageData:
    """Batches of a stage from what the frozen part gave; `level` 'image' is images in bytes."""
    kind = 'pooled' if level == 'pooled' else 'boundary'
    train, held_out = (getattr(splits[split], kind) for split in ('train', 'eval'))
    return _stage_data(train, held_out, level, epochs, config, classes)


def from_images(
    splits: Mapping[str, ImageSplit], epochs: int, config: TrainConfig, classes: Sequence[str]
) -> StageData:
    """Batches of a stage from the images, read, decoded and changed anew in every epoch."""
    return _stage_data(splits['train'], splits['eval'], 'image', epochs, config, classes)


def _stage_data(
    train: Batches,
    held_out: Batches,
    level: Level,
    epochs: int,
    config: TrainConfig,
    classes: Sequence[str],
) -> StageData:
    batch_size = _divisible(config.batch_size, train.count)
    batches = _shares(train.shuffled_batches(batch_size, epochs, config.seed), classes).repeat()
    weights = class_weights(config, classes, train)
    eval_batch = _divisible(max(config.batch_size, _EVAL_BATCH), held_out.count)
    eval_batches = _shares(held_out.batches(eval_batch), classes)
    if level == 'image':
        eval_batches = eval_batches.map(
            lambda images, labels: (scale(images), labels), num_parallel_calls=tf.data.AUTOTUNE
        )
    if level == 'image' or config.augment.mixup or weights is not None:
        batches = _changed(batches, level, config, weights).prefetch(tf.data.AUTOTUNE)
    steps = train.count // batch_size
    return StageData(level, batches, eval_batches, steps, train.count)


def _divisible(batch_size: int, count: int) -> int:
    """At most all images; every GPU gets as many, which Keras needs of the first batch."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return max(1, min(batch_size, count) // replicas) * replicas


def _shares(batches: tf.data.Dataset, classes: Sequence[str]) -> tf.data.Dataset:
    """Labels as the loss takes them: of more than two classes, one-hot instead of an index."""
    if len(classes) == 2:
        return batches

    def one_hot(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return inputs, tf.one_hot(tf.cast(labels[:, 0], tf.int32), len(classes))

    return batches.map(one_hot, num_parallel_calls=tf.data.AUTOTUNE)


def _changed(
    batches: tf.data.Dataset, level: Level, config: TrainConfig, weights: np.ndarray | None
) -> tf.data.Dataset:
    """Images augmented and scaled, pairs mixed, classes weighed; by the number of the batch."""

    @tf.autograph.experimental.do_not_convert
    def change(number: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        inputs, labels = batch
        seed = tf.stack([config.seed, tf.cast(number, tf.int32)])
        view_seed, mix_seed = tf.unstack(tf.random.split(seed, 2))
        if level == 'image':
            if config.augment.active:
                inputs = augmentation.augment(inputs, config.augment, view_seed)
            inputs = scale(inputs)
        if config.augment.mixup:
            inputs, labels = augmentation.mix_up(inputs, labels, config.augment.mixup, mix_seed)
        if weights is None:
            return inputs, labels
        if labels.shape[-1] == 1:
            return inputs, labels, weights[0] + (weights[1] - weights[0]) * labels
        return inputs, labels, tf.linalg.matmul(labels, weights[:, np.newaxis])

    return batches.enumerate().map(change, num_parallel_calls=tf.data.AUTOTUNE)


def class_weights(config: TrainConfig, classes: Sequence[str], train: Batches) -> np.ndarray | None:
    """Weight of each class in the loss, float32 [classes]; None if all weigh the same.

    'balanced' gives every class the same total weight, and an image the mean weight 1. A class
    without training images has none to weigh: 0.
    """
    if config.class_weights is None:
        return None
    if isinstance(config.class_weights, dict):
        return np.array([config.class_weights[name] for name in classes], np.float32)
    counts = np.bincount(train.labels().astype(int), minlength=len(classes))
    there = counts > 0
    weights = np.zeros(len(classes), np.float32)
    weights[there] = counts.sum() / (there.sum() * counts[there])
    return weights
