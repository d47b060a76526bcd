"""Training and validation batches of a stage."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from trainer.config.train import TrainConfig
from trainer.data.augmentation import make_augment
from trainer.data.tensors import Tensors
from trainer.model.backbone import Preprocess


class StageData(NamedTuple):
    """The data of one stage, float32."""

    # Endless shuffled batches of inputs and labels: the fraction of the second class, [batch, 1],
    # for two classes, and the fraction of each class, [batch, classes], for three or more
    train: tf.data.Dataset
    # Inputs, also float16, and labels, [batch, 1], of the validation split, in order
    eval: tf.data.Dataset
    steps: int  # batches per epoch


def make_stage_data(
    splits: Mapping[str, Tensors],
    config: TrainConfig,
    classes: Sequence[str],
    preprocess: Preprocess,
) -> StageData:
    """Makes batches of 'train' and 'eval'; images are augmented and preprocessed in each epoch."""
    train, evaluated = splits['train'], splits['eval'].batches()
    batches, steps = _shuffled(train, config)
    if train.are_images:
        if config.augment.active:
            augment = make_augment(config.augment, config.seed)
            batches = _map_inputs(batches, augment, parallel=None)  # the layers have a state
        evaluated = _map_inputs(evaluated, lambda images: preprocess(_float(images)))
        batches = _map_inputs(batches, lambda images: preprocess(_float(images)))

    @tf.autograph.experimental.do_not_convert
    def encode(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        one_hot = len(classes) > 2
        numbers = tf.cast(labels[:, 0], tf.int32)
        return _float(inputs), tf.one_hot(numbers, len(classes)) if one_hot else labels

    batches = batches.map(encode)
    return StageData(batches.prefetch(tf.data.AUTOTUNE), evaluated.prefetch(1), steps)


def _map_inputs(
    batches: tf.data.Dataset,
    change: Callable[[tf.Tensor], tf.Tensor],
    parallel: int | None = tf.data.AUTOTUNE,
) -> tf.data.Dataset:
    @tf.autograph.experimental.do_not_convert
    def change_inputs(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return change(inputs), labels

    return batches.map(change_inputs, num_parallel_calls=parallel)


def _float(tensors: tf.Tensor) -> tf.Tensor:
    return tf.cast(tensors, tf.float32)


def _shuffled(train: Tensors, config: TrainConfig) -> tuple[tf.data.Dataset, int]:
    """Returns endless batches, and their number per epoch; successive epochs take other views.

    The last batch of an epoch has the images that are left. Keras needs equal numbers for each GPU:
    with several, an epoch leaves out images, each time others, that do not fill a batch.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    batch_size = max(1, min(config.batch_size, train.count) // replicas) * replicas
    drop = replicas > 1
    places = tf.data.Dataset.range(train.count)
    epochs = [
        train.load(places.shuffle(train.count, config.seed + view).batch(batch_size, drop), view)
        for view in range(len(train.views))
    ]
    steps = train.count // batch_size if drop else math.ceil(train.count / batch_size)
    return functools.reduce(tf.data.Dataset.concatenate, epochs).repeat(), steps


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
