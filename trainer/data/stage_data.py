"""Training and validation batches of a stage, from the activation cache or from the images."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.data import augmentation
from trainer.data.dataset import Batches
from trainer.data.embedding import scale

Level = Literal['image', 'boundary', 'pooled']
_EVAL_BATCH = 64


@dataclasses.dataclass(frozen=True)
class StageData:
    """The data of one stage. Labels are float32.

    A label is the fraction of the second class, [batch, 1], for two classes, and the fraction of
    each class, [batch, classes], for three or more.

    Attributes:
        level: the input of the trained model: images, activations at the fine-tuning boundary, or
            pooled features.
        train: endless shuffled batches: inputs, float32 [batch, ...], labels, and, if classes are
            weighted, sample weights, float32 [batch, 1].
        eval: inputs and labels of the validation split, once and in order.
        steps: batches per epoch.
        images: images per epoch.
    """

    level: Level
    train: tf.data.Dataset
    eval: tf.data.Dataset
    steps: int
    images: int


def make_stage_data(
    splits: Mapping[str, Batches],
    level: Level,
    epochs: int,
    config: TrainConfig,
    classes: Sequence[str],
) -> StageData:
    """Batches of the splits 'train' and 'eval'.

    Inputs at level 'image' are uint8; each epoch augments and scales them.
    """
    train, validation = splits['train'], splits['eval']
    batch_size = _batch_size(config.batch_size, train.count)
    batches = train.shuffled_batches(batch_size, epochs, config.seed)
    batches = _encode_labels(batches, classes).repeat()
    weights = class_weights(config, classes, train)
    eval_batch = _batch_size(max(config.batch_size, _EVAL_BATCH), validation.count)
    eval_batches = _encode_labels(validation.batches(eval_batch), classes)
    if level == 'image':
        eval_batches = eval_batches.map(
            lambda images, labels: (scale(images), labels), num_parallel_calls=tf.data.AUTOTUNE
        )
    if level == 'image' or config.augment.mixup or weights is not None:
        batches = _augment(batches, level, config, weights).prefetch(tf.data.AUTOTUNE)
    steps = train.count // batch_size
    return StageData(level, batches, eval_batches, steps, train.count)


def _batch_size(wanted: int, count: int) -> int:
    """Limits a batch size to `count` images and to a multiple of the number of replicas.

    Keras needs the same number of images for each GPU in the first batch.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return max(1, min(wanted, count) // replicas) * replicas


def _encode_labels(batches: tf.data.Dataset, classes: Sequence[str]) -> tf.data.Dataset:
    """One-hot encodes the labels of three or more classes."""
    if len(classes) == 2:
        return batches

    def one_hot(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return inputs, tf.one_hot(tf.cast(labels[:, 0], tf.int32), len(classes))

    return batches.map(one_hot, num_parallel_calls=tf.data.AUTOTUNE)


def _augment(
    batches: tf.data.Dataset, level: Level, config: TrainConfig, weights: np.ndarray | None
) -> tf.data.Dataset:
    """Augments and scales images, applies mixup and adds sample weights.

    The random seed of a batch derives from its number.
    """

    @tf.autograph.experimental.do_not_convert
    def change(number: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
        inputs, labels = batch
        seed = tf.stack([config.seed, tf.cast(number, tf.int32)])
        view_seed, mixup_seed = tf.unstack(tf.random.split(seed, 2))
        if level == 'image':
            if config.augment.active:
                inputs = augmentation.augment(inputs, config.augment, view_seed)
            inputs = scale(inputs)
        if config.augment.mixup:
            inputs, labels = augmentation.mix_up(inputs, labels, config.augment.mixup, mixup_seed)
        if weights is None:
            return inputs, labels
        if labels.shape[-1] == 1:
            return inputs, labels, weights[0] + (weights[1] - weights[0]) * labels
        return inputs, labels, tf.linalg.matmul(labels, weights[:, np.newaxis])

    return batches.enumerate().map(change, num_parallel_calls=tf.data.AUTOTUNE)


def class_weights(config: TrainConfig, classes: Sequence[str], train: Batches) -> np.ndarray | None:
    """Returns the loss weight of each class, float32 [classes]; None if not configured.

    'balanced' gives every class the same total weight, with mean 1 per image. A class without
    training images has weight 0.
    """
    if config.class_weights is None:
        return None
    if isinstance(config.class_weights, dict):
        return np.array([config.class_weights[name] for name in classes], np.float32)
    counts = np.bincount(train.labels().astype(int), minlength=len(classes))
    present = counts > 0
    weights = np.zeros(len(classes), np.float32)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights
