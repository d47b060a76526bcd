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


def test_resized_pixels_are_integers_from_0_to_255():
    pixels = np.random.default_rng(0).integers(0, 256, (31, 47, 3)).astype('uint8')
    image = decode_and_resize(tf.constant([encoded(pixels)]), 16).numpy()
    assert image.shape == (1, 16, 16, 3)
    assert (image == image.astype('uint8')).all()


def test_preserves_image_of_target_size():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype('uint8')
    image = decode_and_resize(tf.constant([encoded(pixels)]), 16).numpy()
    np.testing.assert_array_equal(image[0], pixels)


def test_decodes_grayscale_jpeg_and_colour_png_in_one_batch():
    gray = np.full((20, 20), 128, 'uint8')
    colour = np.full((30, 10, 3), (255, 0, 10), 'uint8')
    batch = tf.constant([encoded(gray, 'JPEG'), encoded(colour)])
    images = decode_and_resize(batch, 8).numpy()
    assert images[:, 4, 4].tolist() == [[128, 128, 128], [255, 0, 10]]


def test_preprocessing_fn_returns_image_and_label():
    image = encoded(np.zeros((9, 9, 3), 'uint8'))
    inputs = {
        features.IMAGE_BYTES: tf.sparse.from_dense([[image], [image]]),
        features.LABEL: tf.constant([0, 1], tf.int64),
    }
    outputs = preprocessing_fn(inputs, {'image_size': 8})
    assert outputs[features.IMAGE_XF].shape == (2, 8, 8, 3)
    assert outputs[features.LABEL_XF].numpy().tolist() == [0, 1]
