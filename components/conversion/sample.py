"""Images for the calibration and the test of TensorFlow Lite models."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.evaluation.predictions.split_images import batches, find_images
from trainer.data.dataset import ImageSplit
from trainer.preprocessing import decode_and_resize

_BATCH = 64


def representative_images(split: ImageSplit, most: int) -> np.ndarray:
    """Returns at most `most` images, uint8 [n, size, size, 3], equally many of each class.

    Records are ordered by the digests of their images, so the first of a class are a sample. With
    images of one class only, the int8 model could not represent the logits of the others.
    """
    ranks = np.empty(len(split.labels), int)  # of an image in its class
    for label in np.unique(split.labels):
        ranks[split.labels == label] = np.arange(np.sum(split.labels == label))
    chosen = np.argsort(ranks, kind='stable')[:most]
    records = split.record_files.read(np.sort(chosen))
    decoded = tf.data.Dataset.from_tensor_slices(records).batch(_BATCH).map(split.decode)
    return np.concatenate([images for images, _ in decoded.as_numpy_iterator()])


def read_pixels(files: Sequence[Path], keys: Sequence[str], size: int) -> np.ndarray:
    """Reads the images with some keys, in their order, preprocessed: uint8 [n, size, size, 3]."""
    places = {key: place for place, key in enumerate(keys)}
    pixels = np.zeros((len(keys), size, size, 3), np.uint8)
    for batch in batches(find_images(files, keys)):
        decoded = decode_and_resize(tf.constant([each.contents for each in batch]), size)
        pixels[[places[each.key] for each in batch]] = np.asarray(decoded)
    return pixels
