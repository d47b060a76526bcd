"""Images for the calibration and the test of converted models."""

import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from components.evaluation.predictions.split_images import (
    batches,
    files_of_split,
    find_images,
    read_images,
)
from trainer.config.train import Resize
from trainer.preprocessing import decode_and_resize


def read_calibration_images(
    folders: Sequence[Path], most: int, size: int, resize: Resize
) -> np.ndarray:
    """Reads at most `most` train images of Examples, equally many of each class, as `read_pixels`.

    They are those with the smallest digests, so they do not depend on the order of a source. With
    images of one class only, an int8 model could not represent the scores of the others.
    """
    files, by_class = files_of_split(folders, 'train'), defaultdict[int, set[str]](set)
    for image in read_images(files):
        by_class[image.label].add(image.key)
    ranks = ((rank, key) for keys in by_class.values() for rank, key in enumerate(sorted(keys)))
    return read_pixels(files, [key for _, key in sorted(ranks)[:most]], size, resize)


def read_pixels(
    files: Sequence[Path], keys: Sequence[str], size: int, resize: Resize
) -> np.ndarray:
    """Reads the images with some keys, in their order, preprocessed: uint8 [n, size, size, 3]."""
    places = {key: place for place, key in enumerate(keys)}
    pixels = np.zeros((len(keys), size, size, 3), np.uint8)
    for batch in batches(find_images(files, keys)):
        found = [places[each.key] for each in batch]
        pixels[found] = preprocess([each.contents for each in batch], size, resize)
    return pixels


def preprocess(encoded: Sequence[bytes], size: int, resize: Resize) -> np.ndarray:
    """Preprocesses JPEG or PNG files as training does: uint8 [n, size, size, 3]."""
    return np.asarray(_traced(size, resize)(tf.constant(encoded))).astype(np.uint8)


@functools.lru_cache(maxsize=1)
def _traced(size: int, resize: Resize) -> Callable[[tf.Tensor], tf.Tensor]:
    """The preprocessing as a graph, which decodes the images of a batch on all cores."""
    spec = tf.TensorSpec([None], tf.string)
    function = functools.partial(decode_and_resize, size=size, resize=resize)
    return tf.function(function, input_signature=[spec], autograph=False)
