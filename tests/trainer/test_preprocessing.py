"""Decoding, orientation and resizing of images."""

import functools
import io
import resource

import image_bytes
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from odd_images import ODD, Accepted

from common import features
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import examine
from trainer.preprocessing import LARGE, decode_and_resize, preprocessing_fn

ORIENTATION, TURNS = 0x0112, range(1, 9)  # an EXIF tag and its values
ODD_FILES = {
    name: odd.contents
    for name, odd in ODD.items()
    if name.startswith(('JPEG', 'PNG')) and isinstance(odd.outcome, Accepted)
}


@functools.cache
def decoder(size):
    """`decode_and_resize` as a graph."""
    strings = tf.TensorSpec([None], tf.string)
    return tf.function(
        lambda each: decode_and_resize(each, size, 'squeeze'), [strings], autograph=False
    )


def decoded(files, size=24):
    return decoder(size)(tf.constant([*files])).numpy()


def encoded(pixels, image_format='PNG'):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels).save(file, image_format)
    return file.getvalue()


def test_preserves_image_of_target_size_and_rounds_others():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype('uint8')
    images = tf.constant([encoded(pixels)])
    np.testing.assert_array_equal(decode_and_resize(images, 16, 'squeeze')[0], pixels)
    resized = decode_and_resize(images, 11, 'squeeze').numpy()
    assert resized.shape == (1, 11, 11, 3)
    assert (resized == resized.astype('uint8')).all()


def test_decodes_grayscale_jpeg_and_colour_png_in_one_batch():
    gray = np.full((20, 20), 128, 'uint8')
    colour = np.full((30, 10, 3), (255, 0, 10), 'uint8')
    inputs = {
        features.IMAGE_BYTES: tf.sparse.from_dense([[encoded(gray, 'JPEG')], [encoded(colour)]]),
        features.LABEL: tf.constant([0, 1], tf.int64),
    }
    outputs = preprocessing_fn(inputs, {'image_size': 8, 'resize': 'squeeze'})
    assert outputs[features.IMAGE_XF].numpy()[:, 4, 4].tolist() == [[128, 128, 128], [255, 0, 10]]
    assert outputs[features.LABEL_XF].numpy().tolist() == [0, 1]


def test_decodes_files_like_their_ingested_copies():
    turned = {f'{kind} {n}': image_bytes.turned(n, kind) for kind in ('JPEG', 'PNG') for n in TURNS}
    files = ODD_FILES | turned
    copies = [examine(contents, CheckConfig()).contents for contents in files.values()]
    served, trained = decoded(files.values()), decoded(copies)
    assert len(ODD_FILES) > 30
    for name, *pair in zip(files, served, trained, strict=True):
        np.testing.assert_allclose(*pair, atol=1, err_msg=name)
    upright = decoded([image_bytes.encoded(image_bytes.quarters(), 'PNG')])
    np.testing.assert_allclose(served[-len(turned) :], [*upright] * len(turned), atol=3)


@pytest.mark.parametrize(
    ('resize', 'left', 'middle'),
    [('squeeze', [255, 0, 0], [0, 255, 0]), ('crop', [0, 255, 0], [0, 255, 0]), ('pad', 0, 255)],
)
@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_makes_images_square(kind, resize, left, middle):
    """A picture of three squares, red, green and blue, or gray where it is padded."""
    strip = np.repeat(np.eye(3, dtype=np.uint8)[None] * 255, 30, axis=0).repeat(30, axis=1)
    if resize == 'pad':
        strip = np.full((90, 30, 3), 255, np.uint8)
    image = decode_and_resize(tf.constant([encoded(strip, kind)]), 24, resize).numpy()[0]
    np.testing.assert_allclose(image[12, 2], np.broadcast_to(left, 3), atol=12)
    np.testing.assert_allclose(image[12, 12], np.broadcast_to(middle, 3), atol=12)


@pytest.mark.parametrize('resize', ['crop', 'pad'])
def test_crop_and_padding_do_not_depend_on_the_orientation_of_the_file(resize):
    pixels = image_bytes.natural(0, (61, 40))
    upright = PIL.Image.fromarray(np.asarray(pixels))
    file, exif = io.BytesIO(), PIL.Image.Exif()
    exif[ORIENTATION] = 6
    upright.transpose(PIL.Image.Transpose.ROTATE_90).save(file, 'PNG', exif=exif)
    turned, plain = (
        decode_and_resize(tf.constant([each]), 24, resize).numpy()
        for each in (file.getvalue(), encoded(np.asarray(upright)))
    )
    np.testing.assert_allclose(turned, plain, atol=1)


def test_padding_of_a_narrow_image_needs_no_square_of_its_longer_side():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    narrow = encoded(np.full((8000, 8), 255, np.uint8), 'PNG')
    image = decode_and_resize(tf.constant([narrow]), 24, 'pad')
    assert image.numpy().sum(axis=(1, 2))[0].tolist() == [24 * 2 * 255] * 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024  # kilobytes


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_large_images_are_antialiased(kind):
    stripes = np.zeros((3000, 4000), np.uint8)
    stripes[::2] = stripes[:, ::2] = 255
    image = decoded([encoded(stripes, kind)], size=32)
    assert np.abs(image - 191).max() < 4  # three quarters are white


def test_other_images_are_interpolated_as_by_keras():
    width = LARGE * 24 - 1
    files = [image_bytes.jpeg(image_bytes.natural(0, (width, width - 30)))]
    pixels = tf.io.decode_image(files[0], channels=3)
    np.testing.assert_array_equal(decoded(files)[0], np.round(tf.image.resize(pixels, (24, 24))))
