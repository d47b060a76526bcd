"""Converts a canvas to a JPEG: size, blur, light, noise and compression."""

import io

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from components.image_example_gen.sources.drawings.parameters import SUPERSAMPLING, Camera


def photograph(canvas: Image.Image, camera: Camera, rng: Generator) -> bytes:
    """Renders the canvas as an RGB JPEG of `camera.width` by `camera.height` pixels."""
    image = canvas.reduce(SUPERSAMPLING).filter(ImageFilter.GaussianBlur(camera.blur))
    pixels = np.asarray(image, dtype=np.float32) * _light(camera)
    pixels += camera.noise * rng.standard_normal(pixels.shape, dtype=np.float32)
    buffer = io.BytesIO()
    developed = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    developed.save(buffer, 'JPEG', quality=camera.quality)
    return buffer.getvalue()


def _light(camera: Camera) -> np.ndarray:
    """Gain of every pixel: a light from one side, darker corners, a tint; float32 [h, w, 3]."""
    x = np.linspace(-1, 1, camera.width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, camera.height, dtype=np.float32)[:, None]
    slope = 1 + camera.light[0] * x + camera.light[1] * y
    falloff = 1 - camera.vignette * (x * x + y * y) / 2
    return (slope * falloff)[:, :, None] * np.array(camera.gains, dtype=np.float32)
