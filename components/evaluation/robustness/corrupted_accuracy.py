"""Accuracy on copies of test images that were made worse."""

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
    """The digests of `count` images: always the same ones of the same images.

    A digest is as good as chance. When images are added, only theirs can take another's place.
    """
    return frozenset(heapq.nsmallest(count, set(digests)))


def measure_robustness(
    images: Iterable[RecordedImage],
    chosen: Collection[str],
    classifier: Classifier,
    on_copies: Callable[[int], None],
) -> tuple[Estimate, list[CorruptedResult]]:
    """Accuracy on the chosen images as they are, and on copies of each kind and severity.

    An image is decoded and brought to the model's size once, by the function that its preprocessing
    consists of; what is changed is what the model would see. Answers that are no number are wrong.

    Args:
        images: some more than the chosen ones.
        chosen: their digests.
        classifier: the model.
        on_copies: is told how many more copies are done.
    """
    right: Counter[tuple[str, int]] = Counter()
    count, size = 0, classifier.image_size
    wanted = (image for image in images if image.sha256 in chosen)
    for batch in batches(wanted, _BATCH):
        count += len(batch)
        for copy, pixels in _copies(batch, size):
            answers = classifier.of_pixels(pixels)
            right[copy] += sum(
                answer.name == classifier.classes[image.label]
                for image, answer in zip(batch, answers, strict=True)
            )
            on_copies(len(batch))
    results = [
        CorruptedResult(
            corruption=name,
            severity=severity,
            images=count,
            accuracy=wilson(right[name, severity], count),
        )
        for name, severity in COPIES
    ]
    return wilson(right[_CLEAN], count), results


def _copies(
    batch: Sequence[RecordedImage], size: int
) -> Iterator[tuple[tuple[str, int], np.ndarray]]:
    """The images themselves, then copies of each kind: uint8 [batch, size, size, 3]."""
    decoded = decode_and_resize(tf.constant([image.contents for image in batch]), size)
    pixels = np.asarray(decoded).astype(np.uint8)
    yield _CLEAN, pixels
    digests = [image.sha256 for image in batch]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for name, severity in COPIES:
            how = itertools.repeat(name), itertools.repeat(severity)
            copies = pool.map(corrupt, pixels, *how, digests)
            yield (name, severity), np.stack(list(copies))
