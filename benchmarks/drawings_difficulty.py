"""Difficulty of the demo's drawings: accuracy of linear models and of MobileNetV2.

    python benchmarks/drawings_difficulty.py --seeds 0 1 2

Linear models must stay below 0.8, and near 0.5 on sizes and mean colours; otherwise something other
than the animal reveals the class. MobileNetV2 with random weights must reach 0.93 on 400 drawings
after 8 epochs on 1,200 others. It takes minutes and runs only with `--seeds`.
"""

import argparse
import io
import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from PIL import Image

from components.image_example_gen.sources.drawings.draw import draw

COUNT, TEST, TRAIN = 2000, 400, 1200  # TRAIN: for MobileNetV2; linear models use COUNT - TEST
SIDE = 96
EPOCHS, BATCH, PEAK_RATE, WARM_UP, DECAY = 8, 16, 8e-3, 0.15, 1e-4
LABELS = np.arange(COUNT) % 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, nargs='*', default=[], help='seeds of MobileNetV2')
    seeds = parser.parse_args().seeds
    start = time.perf_counter()
    with ProcessPoolExecutor() as pool:
        jpegs = list(pool.map(draw, range(COUNT), chunksize=50))
    print(f'{COUNT} drawings: {time.perf_counter() - start:.1f} s on {os.cpu_count()} cores')
    images = [Image.open(io.BytesIO(jpeg)).convert('RGB') for jpeg in jpegs]
    statistics = [
        [*image.size, len(jpeg), *np.asarray(image).mean(axis=(0, 1))]
        for image, jpeg in zip(images, jpegs, strict=True)
    ]
    report('linear, size, bytes, mean colours', linear(np.array(statistics)))
    report('linear, 32 x 32 gray', linear(pixels([image.convert('L') for image in images], 32)))
    report('linear, 48 x 48 RGB', linear(pixels(images, 48)))
    for seed in seeds:
        start = time.perf_counter()
        curve = mobilenet(pixels(images, SIDE).reshape(-1, SIDE, SIDE, 3), seed)
        name = f'MobileNetV2, seed {seed}, {time.perf_counter() - start:.0f} s'
        report(name, curve[-1], ' '.join(f'{accuracy:.3f}' for accuracy in curve))


def report(name: str, accuracy: float, remark: str = '') -> None:
    print(f'{name:36}{accuracy:.3f}  {remark}', flush=True)


def pixels(images: Sequence[Image.Image], side: int) -> np.ndarray:
    """Resized pixels from -1 to 1: float32 [n, side * side * channels]."""
    small = [image.resize((side, side), Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(image, np.float32).ravel() for image in small]) / 127.5 - 1


def linear(features: np.ndarray) -> float:
    """Test accuracy of ridge regression on standardised features [n, k], best of six penalties."""
    train, test = slice(0, COUNT - TEST), slice(COUNT - TEST, COUNT)
    scaled = (features - features[train].mean(axis=0)) / (features[train].std(axis=0) + 1e-6)
    kernel = scaled @ scaled[train].T / features.shape[1]
    scores = []
    for penalty in (0.1, 1, 10, 100, 1000, 10000):
        ridge = kernel[train] + penalty * np.eye(COUNT - TEST)
        weights = np.linalg.solve(ridge, LABELS[train] * 2.0 - 1)
        scores.append(np.mean((kernel[test] @ weights > 0) == LABELS[test]))
    return float(max(scores))


def mobilenet(images: np.ndarray, seed: int) -> list[float]:
    """Test accuracy after each epoch of MobileNetV2 0.35, trained from random weights."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    shape = (SIDE, SIDE, 3)
    network = keras.applications.MobileNetV2(
        shape, alpha=0.35, include_top=False, weights=None, pooling='avg'
    )
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # with 0.999, 600 steps are too few for the moving averages
    model = keras.Sequential([network, keras.layers.Dense(1)])
    steps = TRAIN // BATCH * EPOCHS
    warm_up = math.ceil(steps * WARM_UP)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps - warm_up, warmup_target=PEAK_RATE, warmup_steps=warm_up
    )
    model.compile(
        keras.optimizers.AdamW(rate, weight_decay=DECAY),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name='accuracy')],
        jit_compile=False,  # XLA is six times slower here
    )
    model.optimizer.build(model.trainable_variables)  # otherwise `fit` traces the step twice
    train = tf.data.Dataset.from_tensor_slices((images[:TRAIN], LABELS[:TRAIN, None]))
    train = train.shuffle(TRAIN, seed=seed).map(
        lambda image, label: (tf.image.random_flip_left_right(image), label)
    )
    held_out = (images[-TEST:], LABELS[-TEST:, None])
    history = model.fit(
        train.batch(BATCH), epochs=EPOCHS, validation_data=held_out, shuffle=False, verbose=0
    )
    return [float(accuracy) for accuracy in history.history['val_accuracy']]


if __name__ == '__main__':
    main()
