"""Upper bounds of this machine in images per second: decoding alone, one forward pass alone.

Usage: bare_rates.py IMAGES SIZE ALPHA. Prints one line of JSON.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import keras
import tensorflow as tf

_BATCH = 64


def decoding_rate(images: str, size: int) -> float:
    """Rate of decoding and resizing JPEG files with `tf.data` on all cores."""
    files = [str(path) for path in sorted(Path(images).rglob('*.jpg'))]

    def decode(path: tf.Tensor) -> tf.Tensor:
        pixels = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        return tf.image.resize(pixels, (size, size))

    batches = (
        tf.data.Dataset.from_tensor_slices(files)
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(_BATCH)
        .prefetch(tf.data.AUTOTUNE)
    )
    start = time.perf_counter()
    for _ in batches:
        pass
    return len(files) / (time.perf_counter() - start)


def forward_rate(size: int, alpha: float) -> float:
    """Rate of Keras' MobileNetV2 in one graph function, on pixels in memory."""
    model = keras.applications.MobileNetV2(
        input_shape=(size, size, 3), alpha=alpha, include_top=False, weights=None, pooling='avg'
    )
    forward = tf.function(lambda pixels: model(pixels, training=False))
    pixels = tf.random.uniform((_BATCH, size, size, 3), -1, 1)
    forward(pixels)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < 4:
        forward(pixels)
        done += _BATCH
    return done / (time.perf_counter() - start)


if __name__ == '__main__':
    folder, size, alpha = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    rates = {'decode and resize': decoding_rate(folder, size), 'forward': forward_rate(size, alpha)}
    print(json.dumps(rates))
