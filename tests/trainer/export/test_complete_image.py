"""What the served graph takes for an image, beside what ingestion takes for one."""

import image_bytes
import pytest
import tensorflow as tf

from trainer.export.complete_image import PIXEL, is_whole

THUMBNAIL = image_bytes.jpeg(image_bytes.noise((24, 16)))
PROGRESSIVE = image_bytes.jpeg(image_bytes.noise(), progressive=True)
WHOLE = {
    'a JPEG': image_bytes.jpeg(),
    'a progressive JPEG': PROGRESSIVE,
    'a JPEG with a thumbnail': image_bytes.with_app1(image_bytes.jpeg(), THUMBNAIL),
    'a JPEG with bytes after its end': image_bytes.jpeg() + b'\xff\xda and more',
    'a JPEG with fills between segments': image_bytes.jpeg().replace(b'\xff\xdb', b'\xff\xff\xdb'),
    'a CMYK JPEG': image_bytes.ycck(),
    'a PNG': image_bytes.encoded(image_bytes.quarters(), 'PNG'),
    'a PNG of 16 bits': image_bytes.png_16_bits(3, 2),
    'a PNG with bytes after its end': image_bytes.png_16_bits(1, 0) + b'more',
    'what takes the place of the others': PIXEL,
}
OTHERS = {
    'nothing': b'',
    'half a magic number': b'\xff\xd8',
    'only a magic number': b'\xff\xd8\xff',
    'text': b'<html>404</html>',
    'zeros after a magic number': b'\xff\xd8\xff' + bytes(5000),
    'a GIF': image_bytes.encoded(image_bytes.quarters(), 'GIF'),
    'a BMP': image_bytes.encoded(image_bytes.quarters(), 'BMP'),
    'a WebP': image_bytes.encoded(image_bytes.quarters(), 'WEBP'),
    'a JPEG without its last byte': image_bytes.jpeg()[:-1],
    'a JPEG cut after its thumbnail': image_bytes.with_app1(image_bytes.jpeg(), THUMBNAIL)[:-2],
    'a JPEG without a frame': image_bytes.jpeg().replace(b'\xff\xc0', b'\xff\xef'),
    'a lossless JPEG': image_bytes.jpeg().replace(b'\xff\xc0', b'\xff\xc3'),
    'a PNG without its last byte': image_bytes.png_16_bits(3, 2)[:-1],
    'a PNG without its last chunk': image_bytes.png_16_bits(3, 2)[:-12],
}


@pytest.fixture(scope='module')
def told():
    """`is_whole` as it is served: a graph."""
    spec = [tf.TensorSpec([None], tf.string)]
    return tf.function(is_whole, input_signature=spec, autograph=False)


def test_whole_images_are_told_from_all_others_in_one_batch(told):
    files = {**WHOLE, **OTHERS}
    found = told(tf.constant([*files.values()])).numpy()
    assert {name for name, whole in zip(files, found, strict=True) if whole} == {*WHOLE}


def test_what_is_told_to_be_whole_is_what_the_decoder_takes():
    for contents in WHOLE.values():
        assert tf.io.decode_image(contents, channels=3, expand_animations=False).shape[-1] == 3


@pytest.mark.parametrize('contents', [PROGRESSIVE, WHOLE['a PNG']], ids=['JPEG', 'PNG'])
def test_a_file_cut_anywhere_is_told(told, contents):
    cuts = [contents[:length] for length in range(len(contents))]
    assert not told(tf.constant(cuts)).numpy().any()
    assert told(tf.constant([contents])).numpy().all()


def test_no_images_have_no_answers(told):
    assert told(tf.constant([], tf.string)).shape == (0,)
