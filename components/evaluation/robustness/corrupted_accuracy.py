"""Accuracy on corrupted test images."""

import concurrent.futures
import heapq
import itertools
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from components.evaluation.metrics.intervals import wilson
from components.evaluation.results import CorruptedResult, Estimate
from components.evaluation.robustness.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from components.evaluation.robustness.split_images import RecordedImage, batches
from components.inference.classifier import Classifier
from trainer.preprocessing import decode_and_resize

COPIES = tuple(itertools.product(CORRUPTIONS, SEVERITIES))
_BATCH = 32
_CLEAN = ('', 0)


def choose(digests: Iterable[str], count: int) -> frozenset[str]:
    """Chooses the `count` smallest digests: a deterministic random sample.

    An additional image replaces at most one image of the sample.
    """
    return frozenset(heapq.nsmallest(count, set(digests)))


def measure_robustness(
    images: Iterable[RecordedImage],
    chosen: Collection[str],
    classifier: Classifier,
    on_copies: Callable[[int], None],
) -> tuple[Estimate, list[CorruptedResult]]:
    """Accuracy on the chosen images, clean and with each corruption and severity.

    The preprocessing function of training decodes and resizes an image once; the corruptions are
    applied to the resized image. NaN predictions count as wrong.

    Args:
        images: images that include the chosen ones.
        chosen: SHA-256 digests of the chosen images.
        classifier: the model.
        on_copies: progress callback, called with the number of further predictions.
    """
    correct: Counter[tuple[str, int]] = Counter()
    count, size = 0, classifier.image_size
    sample = (image for image in images if image.sha256 in chosen)
    for batch in batches(sample, _BATCH):
        count += len(batch)
        for copy, pixels in _copies(batch, size):
            predictions = classifier.of_pixels(pixels)
            correct[copy] += sum(
                prediction.name == classifier.classes[image.label]
                for image, prediction in zip(batch, predictions, strict=True)
            )
            on_copies(len(batch))
    results = [
        CorruptedResult(
            corruption=name,
            severity=severity,
            images=count,
            accuracy=wilson(correct[name, severity], count),
        )
        for name, severity in COPIES
    ]
    return wilson(correct[_CLEAN], count), results


def _copies(
    batch: Sequence[RecordedImage], size: int
) -> Iterator[tuple[tuple[str, int], np.ndarray]]:
    """Yields (corruption, severity) and uint8 [batch, size, size, 3], the clean images first."""
    decoded = decode_and_resize(tf.constant([image.contents for image in batch]), size)
    pixels = np.asarray(decoded).astype(np.uint8)
    yield _CLEAN, pixels
    digests = [image.sha256 for image in batch]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for name, severity in COPIES:
            arguments = itertools.repeat(name), itertools.repeat(severity), digests
            copies = pool.map(corrupt, pixels, *arguments)
            yield (name, severity), np.stack(list(copies))
