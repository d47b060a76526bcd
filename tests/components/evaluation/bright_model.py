"""Untrained model that classifies images by brightness."""

import hashlib
import json
from pathlib import Path

import numpy as np
import PIL.Image
import tensorflow as tf
from image_bytes import encoded

from common import features
from components.evaluation.predictions.split_images import RecordedImage
from trainer.preprocessing import decode_and_resize

SIZE = 32
_MIDDLE = 125.0  # between the dark cats and the bright dogs of `make_image_folder`


class BrightModel(tf.Module):
    """Predicts dogs for bright images; the heat map is the brightness."""

    def __init__(self, slope: float, explains: bool) -> None:
        super().__init__()
        self._slope = tf.Variable(slope)
        encoded = tf.TensorSpec([None], tf.string)
        pixels = tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)
        self._signatures = {
            features.SIGNATURE_IMAGES: tf.function(self._of_images, [encoded]),
            features.SIGNATURE_PIXELS: tf.function(self._of_pixels, [pixels]),
            features.SIGNATURE_EXAMPLES: tf.function(self._of_examples, [encoded]),
        }
        if explains:
            explain = tf.function(self._explain, [encoded])
            self._signatures[features.SIGNATURE_EXPLANATION] = explain

    def export(self, folder: Path, classes: tuple[str, ...] | None) -> None:
        tf.saved_model.save(self, str(folder), signatures=self._signatures)
        if classes:
            file = folder / features.CLASSES_FILE
            file.parent.mkdir()
            file.write_text(json.dumps(classes))

    def _of_pixels(self, pixels):
        logits = (tf.reduce_mean(pixels, axis=[1, 2, 3]) - _MIDDLE)[:, tf.newaxis] * self._slope
        return {
            features.PROBABILITY: tf.sigmoid(logits),
            features.CLASS: tf.where(logits > 0, 'dogs', 'cats'),
            features.LOGIT: logits,
        }

    def _of_images(self, image_bytes):
        return self._of_pixels(decode_and_resize(image_bytes, SIZE, 'squeeze'))

    def _of_examples(self, examples):
        spec = {features.IMAGE_BYTES: tf.io.FixedLenFeature([], tf.string)}
        return self._of_images(tf.io.parse_example(examples, spec)[features.IMAGE_BYTES])

    def _explain(self, image_bytes):
        pixels = decode_and_resize(image_bytes, SIZE, 'squeeze')
        heat = tf.reduce_mean(pixels, axis=-1) / 255
        return {**self._of_pixels(pixels), features.HEAT_MAP: heat}


def gray(brightness: int, label: int, size: tuple[int, int] = (48, 32)) -> RecordedImage:
    """PNG of uniform gray."""
    pixels = np.full((size[1], size[0], 3), brightness, np.uint8)
    contents = encoded(PIL.Image.fromarray(pixels), 'PNG')
    key = hashlib.sha256(contents).hexdigest()
    return RecordedImage(contents, label, f'{label}/{brightness}.png', key, {})
