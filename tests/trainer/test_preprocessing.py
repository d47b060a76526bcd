"""Decoding, orientation and resizing of images."""

import functools
import resource

import image_bytes
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from odd_images import ODD, Accepted

from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import examine
from trainer.preprocessing import LARGE, decode_and_resize

TURNS = range(1, 9)  # values of the EXIF orientation
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


def encoded(pixels, kind='PNG', **options):
    return image_bytes.encoded(PIL.Image.fromarray(pixels), kind, **options)


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
    pixels, exif = np.asarray(image_bytes.natural(0, (61, 40))), PIL.Image.Exif()
    exif[image_bytes.ORIENTATION] = 6
    turned, plain = (
        decode_and_resize(tf.constant([each]), 24, resize).numpy()
        for each in (encoded(np.rot90(pixels), exif=exif), encoded(pixels))
    )
    np.testing.assert_allclose(turned, plain, atol=1)


def test_padding_of_a_narrow_image_needs_no_square_of_its_longer_side():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    narrow = encoded(np.full((8000, 8), 255, np.uint8))
    image = decode_and_resize(tf.constant([narrow]), 24, 'pad')
    assert image.numpy().sum(axis=(1, 2))[0].tolist() == [24 * 2 * 255] * 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150 * 1024  # kilobytes


@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_large_images_are_antialiased(kind):
    stripes = np.zeros((3000, 4000), np.uint8)
    stripes[::2] = stripes[:, ::2] = 255
    image = decoded([encoded(stripes, kind)], size=32)
    assert np.abs(image - 191).max() < 4  # three quarters are white


@pytest.mark.parametrize('size', [(24, 24), (LARGE * 24 - 1, LARGE * 24 - 31)])
def test_other_images_are_interpolated_as_by_keras_and_rounded(size):
    image = image_bytes.natural(0, size)
    files = [image_bytes.jpeg(image), image_bytes.encoded(image, 'PNG')]
    for contents, found in zip(files, decoded(files), strict=True):
        pixels = tf.io.decode_image(contents, channels=3)
        np.testing.assert_array_equal(found, np.round(tf.image.resize(pixels, (24, 24))))
