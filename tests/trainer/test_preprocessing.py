"""Decoding and resizing of images."""

import io

import numpy as np
import PIL.Image
import tensorflow as tf

from common import features
from trainer.preprocessing import decode_and_resize, preprocessing_fn


def encoded(pixels, image_format='PNG'):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, image_format)
    return file.getvalue()


def test_preserves_image_of_target_size_and_rounds_others():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype('uint8')
    images = tf.constant([encoded(pixels)])
    np.testing.assert_array_equal(decode_and_resize(images, 16)[0], pixels)
    resized = decode_and_resize(images, 11).numpy()
    assert resized.shape == (1, 11, 11, 3)
    assert (resized == resized.astype('uint8')).all()


def test_decodes_grayscale_jpeg_and_colour_png_in_one_batch():
    gray = np.full((20, 20), 128, 'uint8')
    colour = np.full((30, 10, 3), (255, 0, 10), 'uint8')
    inputs = {
        features.IMAGE_BYTES: tf.sparse.from_dense([[encoded(gray, 'JPEG')], [encoded(colour)]]),
        features.LABEL: tf.constant([0, 1], tf.int64),
    }
    outputs = preprocessing_fn(inputs, {'image_size': 8})
    assert outputs[features.IMAGE_XF].numpy()[:, 4, 4].tolist() == [[128, 128, 128], [255, 0, 10]]
    assert outputs[features.LABEL_XF].numpy().tolist() == [0, 1]
