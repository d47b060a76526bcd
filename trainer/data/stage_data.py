"""Training and validation batches of a stage, from the activation cache or from the images."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.data import augmentation
from trainer.data.dataset import MAX_PASSES, Batches
from trainer.data.embedding import scale

_EVAL_BATCH = 64


@dataclasses.dataclass(frozen=True)
class StageData:
    """The data of one stage; all tensors are float32."""

    # Endless shuffled batches: inputs, labels, and, if classes are weighted, sample weights,
    # [batch, 1]. Labels are the fraction of the second class, [batch, 1], for two classes, and the
    # fraction of each class, [batch, classes], for three or more
    train: tf.data.Dataset
    eval: tf.data.Dataset  # inputs and labels of the validation split, once and in order
    steps: int  # batches per epoch


def make_stage_data(
    splits: Mapping[str, Batches],
    epochs: int,
    config: TrainConfig,
    classes: Sequence[str],
    *,
    from_images: bool,
    finished: int = 0,
) -> StageData:
    """Makes batches of 'train' and 'eval'; `from_images` augments and scales them in each epoch.

    After `finished` epochs, 'train' continues with the batches of the next one.
    """
    train, validation = splits['train'], splits['eval']
    batch_size = _batch_size(config.batch_size, train.count)
    steps = train.count // batch_size
    # Repeated passes depend on those before; after the last epoch nothing is read.
    first = finished if finished < epochs <= MAX_PASSES else 0
    batches = train.shuffled_batches(batch_size, epochs, config.seed, first)
    batches = _encode_labels(batches, classes).repeat()
    if finished > first:
        batches = batches.skip((finished - first) * steps)
    weights = class_weights(config, classes, train.labels)
    eval_batch = _batch_size(max(config.batch_size, _EVAL_BATCH), validation.count)
    eval_batches = validation.batches(eval_batch)
    if from_images:
        batches = _augment(batches, config, finished * steps).prefetch(tf.data.AUTOTUNE)
        eval_batches = eval_batches.map(
            lambda images, labels: (scale(images), labels), num_parallel_calls=tf.data.AUTOTUNE
        )
    if weights is not None:
        batches = _add_weights(batches, weights)
    return StageData(batches, eval_batches, steps)


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


def _augment(batches: tf.data.Dataset, config: TrainConfig, start: int) -> tf.data.Dataset:
    """Augments and scales images; `start` is the number of batches before the first one."""

    @tf.autograph.experimental.do_not_convert
    def change(
        number: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = batch
        if config.augment.active:
            seed = tf.stack([config.seed, tf.cast(number, tf.int32)])
            view_seed, _ = tf.unstack(tf.random.split(seed, 2))
            images = augmentation.augment(images, config.augment, view_seed)
        return scale(images), labels

    return batches.enumerate(start).map(change, num_parallel_calls=tf.data.AUTOTUNE)


def _add_weights(batches: tf.data.Dataset, weights: np.ndarray) -> tf.data.Dataset:
    """Adds the weight of each image's class, float32 [batch, 1], given those of all classes."""

    @tf.autograph.experimental.do_not_convert
    def add(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, ...]:
        if labels.shape[-1] == 1:
            return inputs, labels, weights[0] + (weights[1] - weights[0]) * labels
        return inputs, labels, tf.linalg.matmul(labels, weights[:, np.newaxis])

    return batches.map(add, num_parallel_calls=tf.data.AUTOTUNE)


def class_weights(
    config: TrainConfig, classes: Sequence[str], labels: np.ndarray
) -> np.ndarray | None:
    """Returns the loss weight of each class, float32 [classes]; None if not configured.

    'balanced' gives every class the same total weight, with mean 1 per training image. A class
    without training images has weight 0.
    """
    if config.class_weights is None:
        return None
    if isinstance(config.class_weights, dict):
        return np.array([config.class_weights[name] for name in classes], np.float32)
    counts = np.bincount(labels.astype(int), minlength=len(classes))
    present = counts > 0
    weights = np.zeros(len(classes), np.float32)
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights
