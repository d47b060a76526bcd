"""A plain Keras script for a small set, with the defaults of fastai as far as Keras has them.

Usage: plain_small.py IMAGES WEIGHTS [SIZE] [EPOCHS] [SEED], where IMAGES has train/, eval/ and
test/ with a folder per class. One epoch of the head, then all layers with one-cycle rates, which
fall by 100 from the head to the first layers. Batch norm is always trained. Prints one line of
JSON: correct test images, log loss, seconds and CPU seconds.
"""

import json
import math
import os
import sys
import time
from pathlib import Path

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

BATCH = 16  # fastai's 64 leaves four steps per epoch
RATE = 2e-3
SECOND_GROUP = 'block_10_expand'  # first layer of the second of three groups: half of the blocks


class OneCycle(keras.optimizers.Adam):
    """Adam with decoupled weight decay, and with one-cycle rate and momentum over `steps` steps.

    The rate rises from `start` of `rate` for the fraction `warmup` of the steps.
    """

    def __init__(self, rate: float, steps: int, warmup: float, start: float) -> None:
        super().__init__(rate, beta_2=0.99, epsilon=1e-5)
        self.steps, self.warmup, self.start = steps, warmup * steps, start

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        step = ops.cast(self.iterations, 'float32')
        rises, falls_for = step < self.warmup, max(1.0, self.steps - self.warmup)
        done = ops.where(rises, step / max(1.0, self.warmup), (step - self.warmup) / falls_for)
        wave = (1 - ops.cos(math.pi * done)) / 2  # from 0 to 1
        rate = learning_rate * ops.where(rises, self.start + (1 - self.start) * wave, 1 - wave)
        self.beta_1 = ops.where(rises, 0.95 - 0.1 * wave, 0.85 + 0.1 * wave)
        if len(variable.shape) > 1:
            variable.assign_sub(0.01 * rate * variable)
        super().update_step(gradient, variable, rate)


def read_images(folder: str, size: int, shuffle: bool, seed: int) -> tf.data.Dataset:
    images = keras.utils.image_dataset_from_directory(
        folder,
        label_mode='int',
        image_size=(size, size),
        shuffle=shuffle,
        batch_size=None,
        seed=seed,
        verbose=False,
    )
    return images.batch(BATCH, drop_remainder=shuffle).prefetch(tf.data.AUTOTUNE)


def build(size: int, weights: str, classes: int) -> tuple[keras.Model, keras.Model]:
    base = keras.applications.MobileNetV2((size, size, 3), include_top=False, weights=None)
    base.load_weights(weights)
    for layer in base.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.9
    images = x = keras.Input((size, size, 3))
    for augment in (
        layers.RandomFlip('horizontal'),
        layers.RandomRotation(10 / 360),
        layers.RandomZoom((-0.1, 0.0)),
        layers.RandomBrightness(0.1),
        layers.RandomContrast(0.2, value_range=(0, 255)),
    ):
        x = augment(x)
    x = base(keras.applications.mobilenet_v2.preprocess_input(x))
    x = layers.Concatenate()([layers.GlobalMaxPooling2D()(x), layers.GlobalAveragePooling2D()(x)])
    x = layers.Dropout(0.25)(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Dense(512, 'relu', use_bias=False)(x)
    x = layers.Dropout(0.5)(layers.BatchNormalization(momentum=0.9)(x))
    return keras.Model(images, layers.Dense(classes, use_bias=False)(x)), base


def fit(
    model: keras.Model,
    groups: dict[float, list[keras.Variable]],
    train: tf.data.Dataset,
    epochs: int,
    **cycle: float,
) -> None:
    """Trains variables; `groups` has them by the factor of their learning rate."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rate, steps = cycle.pop('rate'), epochs * len(train)
    optimizers = [OneCycle(rate * factor, steps, **cycle) for factor in groups]
    for optimizer, variables in zip(optimizers, groups.values(), strict=True):
        optimizer.build(variables)

    @tf.function
    def train_step(images: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            value = loss(labels, model(images, training=True))
        gradients = tape.gradient(value, [*groups.values()])
        for optimizer, of_group, variables in zip(
            optimizers, gradients, groups.values(), strict=True
        ):
            optimizer.apply(of_group, variables)

    for _ in range(epochs):
        for images, labels in train:
            train_step(images, labels)


def main(images: str, weights: str, size: str = '160', epochs: str = '10', seed: str = '0') -> None:
    start, cpu = time.perf_counter(), time.process_time()
    keras.utils.set_random_seed(int(seed))
    train = read_images(f'{images}/train', int(size), True, int(seed))
    test = read_images(f'{images}/test', int(size), False, int(seed))
    classes = sum(1 for _ in Path(images, 'train').iterdir())
    model, base = build(int(size), weights, classes)
    for layer in base.layers:
        layer.trainable = isinstance(layer, layers.BatchNormalization)
    fit(model, {1.0: model.trainable_variables}, train, 1, rate=RATE, warmup=0.99, start=1 / 25)
    base.trainable = True
    late = [layer.name for layer in base.layers].index(SECOND_GROUP)
    groups: dict[float, list[keras.Variable]] = {0.01: [], 0.1: []}
    for number, layer in enumerate(base.layers):
        groups[0.01 if number < late else 0.1] += layer.trainable_variables
    groups[1.0] = model.trainable_variables[len(base.trainable_variables) :]
    fit(model, groups, train, int(epochs), rate=RATE / 2, warmup=0.3, start=1 / 5)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    logits = model.predict(test, verbose=0)
    labels = np.concatenate([labels for _, labels in test])
    of_label = tf.nn.log_softmax(logits).numpy()[np.arange(len(labels)), labels]
    result = {
        'right': int((logits.argmax(axis=1) == labels).sum()),
        'log_loss': float(-of_label.mean()),
        'seconds': seconds,
        'cpu_seconds': cpu,
    }
    print(json.dumps(result))


if __name__ == '__main__':
    main(*sys.argv[1:])
