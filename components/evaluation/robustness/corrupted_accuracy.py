"""Accuracy on corrupted test images."""

import concurrent.futures
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from components.evaluation.results import CorruptedResult, Estimate, wilson
from components.evaluation.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from components.evaluation.robustness.split_images import RecordedImage, batches
from components.inference.classifier import Classifier
from trainer.preprocessing import decode_and_resize

COPIES = tuple(itertools.product(CORRUPTIONS, SEVERITIES))
_CLEAN = ('', 0)


def measure_robustness(
    images: Iterable[RecordedImage], classifier: Classifier
) -> tuple[Estimate, tuple[CorruptedResult, ...]]:
    """Accuracy on images, clean and with each corruption and severity.

    The preprocessing function of training decodes and resizes an image once; the corruptions are
    applied to the resized image. NaN predictions count as wrong.
    """
    correct: Counter[tuple[str, int]] = Counter()
    count = 0
    for batch in batches(images):
        count += len(batch)
        labels = [classifier.classes[image.label] for image in batch]
        for copy, pixels in _copies(batch, classifier.image_size):
            predictions = zip(labels, classifier.of_pixels(pixels), strict=True)
            correct[copy] += sum(label == prediction.name for label, prediction in predictions)
    results = [
        CorruptedResult(
            corruption=name,
            severity=severity,
            images=count,
            accuracy=wilson(correct[name, severity], count),
        )
        for name, severity in COPIES
    ]
    return wilson(correct[_CLEAN], count), tuple(results)


def _copies(batch: list[RecordedImage], size: int) -> Iterator[tuple[tuple[str, int], np.ndarray]]:
    """Yields (corruption, severity) and uint8 [batch, size, size, 3], the clean images first."""
    decoded = decode_and_resize(tf.constant([image.contents for image in batch]), size)
    pixels = np.asarray(decoded).astype(np.uint8)
    yield _CLEAN, pixels
    digests = [image.sha256 for image in batch]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for name, severity in COPIES:
            kind = itertools.repeat(name), itertools.repeat(severity)
            yield (name, severity), np.stack(list(pool.map(corrupt, pixels, *kind, digests)))
