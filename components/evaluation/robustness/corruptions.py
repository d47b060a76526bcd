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
from collections.abc import Iterator, Sequence

import numpy as np
import PIL.Image
import PIL.ImageFilter
import scipy.ndimage
import tensorflow as tf

from common import console, features
from components.evaluation.predictions.split_images import RecordedImage, batches
from components.evaluation.results import CorruptedResult, Estimate, wilson
from components.inference.classifier import Classifier
from trainer.config.train import Resize
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
_BATCH = 10  # images, with all their copies, at a time
_Copy = tuple[str, int]  # corruption and severity


def measure_robustness(
    images: Sequence[RecordedImage], clean: Estimate, classifier: Classifier, resize: Resize
) -> tuple[CorruptedResult, ...]:
    """Accuracy on copies of one or more images with each corruption and severity.

    The preprocessing function of training decodes and resizes an image once; the corruptions are
    applied to the resized image. NaN predictions count as wrong. `clean` is the accuracy on the
    images without corruption.
    """
    right = np.zeros(len(COPIES), int)
    with (
        concurrent.futures.ThreadPoolExecutor() as pool,
        console.bar('corrupted images', len(images)) as bar,
    ):
        for batch in batches(images, _BATCH):
            truth = np.array([image.label for image in batch])
            labels = _labels_of_copies(batch, classifier, pool, resize)
            right += [int((each == truth).sum()) for each in labels]
            bar.advance(len(batch))
    return tuple(
        CorruptedResult(
            corruption=name,
            severity=severity,
            accuracy=wilson(correct, len(images)),
            loss=(clean.value or 0.0) - correct / len(images),
        )
        for (name, severity), correct in zip(COPIES, right.tolist(), strict=True)
    )


def _labels_of_copies(
    batch: Sequence[RecordedImage],
    classifier: Classifier,
    pool: concurrent.futures.Executor,
    resize: Resize,
) -> Iterator[np.ndarray]:
    """Yields the predicted labels of the images, int [images], for each corruption and severity.

    The network computes while the pool corrupts the images for its next calls.
    """
    contents = tf.constant([image.contents for image in batch])
    pixels = np.asarray(decode_and_resize(contents, classifier.image_size, resize)).astype(np.uint8)

    def corrupt_all(copy: _Copy) -> np.ndarray:
        pairs = zip(pixels, batch, strict=True)
        return np.stack([corrupt(each, *copy, image.key) for each, image in pairs])

    for copies in pool.map(corrupt_all, COPIES):
        yield classifier.labels_of(features.SIGNATURE_PIXELS, copies.astype(np.float32))[0]


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
