"""Image corruptions: noise, blur, JPEG compression, darkness and rotation.

Follows Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (ICLR 2019): corruptions are deterministic, and applied at the model's input size.
Noise and blur have the severities 1, 3 and 5 of the paper; it has no darkness and no rotation. JPEG
compression is stronger at the input size than on the original photograph.
"""

import io
import zlib

import numpy as np
import PIL.Image
import PIL.ImageFilter
import scipy.ndimage

# Strength of each corruption by severity.
CORRUPTIONS = {
    'noise': (0.08, 0.18, 0.38),  # standard deviation, for values from 0 to 1
    'blur': (1.0, 3.0, 6.0),  # standard deviation in pixels, at _PAPER_SIZE
    'jpeg': (25, 15, 10),  # quality
    'darkness': (0.6, 0.35, 0.15),  # factor
    'rotation': (15, 30, 45),  # degrees
}
SEVERITIES = (1, 2, 3)
_PAPER_SIZE = 224


def corrupt(pixels: np.ndarray, corruption: str, severity: int, sha256: str) -> np.ndarray:
    """Returns a corrupted copy.

    Args:
        pixels: uint8 [height, width, 3].
        corruption: key of CORRUPTIONS.
        severity: one of SEVERITIES.
        sha256: hexadecimal digest of the image, the random seed.
    """
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
    return np.asarray(scipy.ndimage.rotate(pixels, degrees, reshape=False, order=1, mode='mirror'))
