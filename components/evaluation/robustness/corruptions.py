"""Image corruptions, and the accuracy on corrupted test images.

Follows Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (ICLR 2019): corruptions are deterministic, and applied at the model's input size.
Noise and blur have the severities 1, 3 and 5 of the paper; it has no darkness and no rotation. JPEG
compression is stronger at the input size than on the original photograph.
"""

import concurrent.futures
import io
import itertools
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import PIL.Image
import PIL.ImageFilter
import scipy.ndimage
import tensorflow as tf

from components.evaluation.predictions.split_images import RecordedImage, batches
from components.evaluation.results import CorruptedResult, wilson
from components.inference.classifier import Classifier
from trainer.preprocessing import decode_and_resize

# Strength of each corruption by severity.
CORRUPTIONS = {
    'noise': (0.08, 0.18, 0.38),  # standard deviation, for values from 0 to 1
    'blur': (1.0, 3.0, 6.0),  # standard deviation in pixels, at _PAPER_SIZE
    'jpeg': (25, 15, 10),  # quality
    'darkness': (0.6, 0.35, 0.15),  # factor
    'rotation': (15, 30, 45),  # degrees
}
SEVERITIES = (1, 2, 3)
COPIES = tuple(itertools.product(CORRUPTIONS, SEVERITIES))
_PAPER_SIZE = 224


def measure_robustness(
    images: Iterable[RecordedImage], classifier: Classifier
) -> tuple[CorruptedResult, ...]:
    """Accuracy on copies of images with each corruption and severity.

    The preprocessing function of training decodes and resizes an image once; the corruptions are
    applied to the resized image. NaN predictions count as wrong.
    """
    correct: Counter[tuple[str, int]] = Counter()
    count = 0
    for batch in batches(images):
        count += len(batch)
        labels = np.array([image.label for image in batch])
        for copy, pixels in _copies(batch, classifier.image_size):
            correct[copy] += int((classifier.labels_of_pixels(pixels) == labels).sum())
    return tuple(
        CorruptedResult(
            corruption=name,
            severity=severity,
            images=count,
            accuracy=wilson(correct[name, severity], count),
        )
        for name, severity in COPIES
    )


def _copies(batch: list[RecordedImage], size: int) -> Iterator[tuple[tuple[str, int], np.ndarray]]:
    """Yields (corruption, severity) and uint8 [batch, size, size, 3]."""
    decoded = decode_and_resize(tf.constant([image.contents for image in batch]), size)
    pixels = np.asarray(decoded).astype(np.uint8)
    digests = [image.key for image in batch]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for name, severity in COPIES:
            kind = itertools.repeat(name), itertools.repeat(severity)
            yield (name, severity), np.stack(list(pool.map(corrupt, pixels, *kind, digests)))


def corrupt(pixels: np.ndarray, corruption: str, severity: int, sha256: str) -> np.ndarray:
    """Returns a corrupted copy of an image, uint8 [height, width, 3]; its digest is the seed."""
    strength = CORRUPTIONS[corruption][severity - 1]
    seed = [int(sha256[:16], 16), zlib.crc32(corruption.encode()), severity]
    random = np.random.default_rng(seed)
    image = PIL.Image.fromarray(pixels)
    if corruption == 'noise':
        noisy = pixels + random.standard_normal(pixels.shape, np.float32) * (255 * strength)
        return noisy.round().clip(0, 255).astype(np.uint8)
    if corruption == 'blur':
        radius = strength * min(image.size) / _PAPER_SIZE
        return np.asarray(image.filter(PIL.ImageFilter.GaussianBlur(radius)))
    if corruption == 'jpeg':
        file = io.BytesIO()
        image.save(file, 'JPEG', quality=strength)
        return np.asarray(PIL.Image.open(file))
    if corruption == 'darkness':
        return (pixels * np.float32(strength)).round().astype(np.uint8)
    # Left or right, with mirrored borders: black corners would reveal the rotation.
    degrees = strength * random.choice((-1, 1))
    rotated = scipy.ndimage.rotate(pixels, degrees, reshape=False, order=1, mode='mirror')
    return np.asarray(rotated)
