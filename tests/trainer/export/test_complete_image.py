"""Detection of complete and truncated image files in the serving graph."""

import image_bytes
import pytest
import tensorflow as tf

from trainer.export.complete_image import PIXEL, is_decodable

THUMBNAIL = image_bytes.jpeg(image_bytes.noise((24, 16)))
COMPLETE = {
    'a JPEG': image_bytes.jpeg(),
    'a progressive JPEG': image_bytes.jpeg(progressive=True),
    'a JPEG with a thumbnail': image_bytes.with_app1(image_bytes.jpeg(), THUMBNAIL),
    'a JPEG with bytes after its end': image_bytes.jpeg() + b'\xff\xda and more',
    'a JPEG with fill bytes': image_bytes.jpeg().replace(b'\xff\xdb', b'\xff\xff\xdb'),
    'a CMYK JPEG': image_bytes.ycck(),
    'a PNG': image_bytes.encoded(image_bytes.quarters(), 'PNG'),
    'a PNG of 16 bits': image_bytes.png_16_bits(3, 2),
    'a PNG with bytes after its end': image_bytes.png_16_bits(1, 0) + b'more',
    'the replacement pixel': PIXEL,
    'a PNG of some texts': image_bytes.with_texts(20),
    'a JPEG of 100 scans': image_bytes.with_scans(100),
}
REJECTED = {
    'no bytes': b'',
    'only a magic number': b'\xff\xd8\xff',
    'text': b'<html>404</html>',
    'zeros after a magic number': b'\xff\xd8\xff' + bytes(5000),
    'a GIF': image_bytes.encoded(image_bytes.quarters(), 'GIF'),
    'a WebP': image_bytes.encoded(image_bytes.quarters(), 'WEBP'),
    'a JPEG without its last byte': image_bytes.jpeg()[:-1],
    'a JPEG cut after its thumbnail': image_bytes.with_app1(image_bytes.jpeg(), THUMBNAIL)[:-2],
    'a JPEG without a frame': image_bytes.jpeg().replace(b'\xff\xc0', b'\xff\xef'),
    'a PNG without its last byte': image_bytes.png_16_bits(3, 2)[:-1],
    'a PNG without its last chunk': image_bytes.png_16_bits(3, 2)[:-12],
    'a PNG of 3,600 megapixels': image_bytes.png_of_size(60_000, 60_000),
    'a PNG of the longest side': image_bytes.png_of_size(2**32 - 1, 16),
    'a PNG of many texts': image_bytes.with_texts(21),
    'a JPEG of 3,600 megapixels': image_bytes.jpeg_of_size(60_000, 60_000),
    'a JPEG of many scans': image_bytes.with_scans(101),
    'a large JPEG of many scans': image_bytes.with_scans(17, (8000, 8000)),
}


CHECK = tf.function(
    lambda contents: is_decodable(contents, max_megapixels=64),
    input_signature=[tf.TensorSpec([], tf.string)],
    autograph=False,
)


def check(contents):
    try:
        return bool(CHECK(contents))
    except tf.errors.InvalidArgumentError:
        return False


def test_distinguishes_complete_images():
    files = {**COMPLETE, **REJECTED}
    assert {name for name, contents in files.items() if check(contents)} == {*COMPLETE}


@pytest.mark.parametrize('name', ['a progressive JPEG', 'a PNG'])
def test_rejects_file_truncated_at_any_byte(name):
    contents = COMPLETE[name]
    assert not any(check(contents[:length]) for length in range(len(contents)))
