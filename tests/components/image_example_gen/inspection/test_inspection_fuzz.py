"""Checks that `examine` raises nothing but Rejected, whatever the bytes are."""

import struct
import zlib

import image_bytes as made
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import Rejected
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import examine

_CONFIG = CheckConfig(max_megapixels=1)  # small ones, for the sake of time
_BOUNDED = settings(max_examples=30, deadline=None, derandomize=True, database=None)
_VALID = {
    **{kind: made.encoded(made.noise(), kind) for kind in ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP')},
    'progressive JPEG': made.jpeg(made.noise(), progressive=True),
    'CMYK JPEG': made.jpeg(made.noise().convert('CMYK')),
    'turned JPEG': made.turned(5),
    'palette PNG': made.encoded(made.noise().quantize(16), 'PNG'),
    'animated PNG': made.animated('PNG'),
    'animated GIF': made.animated('GIF'),
    'animated WebP': made.animated('WEBP'),
    'AVIF': made.avif(made.noise()),
    'HEIC': made.heif(made.noise()),
    'LZW TIFF': made.encoded(made.noise(), 'TIFF', compression='tiff_lzw'),
}


def check(contents):
    try:
        image = examine(contents, _CONFIG)
    except Rejected as rejected:
        message = str(rejected)
        assert '\n' not in message
        assert len(message) < 400
        return
    pixels = tf.io.decode_image(image.contents, channels=3, expand_animations=False)
    assert pixels.shape == (image.height, image.width, 3)


@st.composite
def mutations(draw, contents):
    """A valid file with a few bytes changed, and a part removed, repeated or replaced."""
    damaged = bytearray(contents)
    places = st.integers(0, len(contents) - 1) | st.integers(0, min(200, len(contents) - 1))
    for place in draw(st.lists(places, max_size=4)):
        damaged[place] = draw(st.integers(0, 255) | st.sampled_from([0, 1, 0x7F, 0xFF]))
    start, end = sorted((draw(places), draw(places)))
    middle = bytes(damaged[start:end])
    middle = draw(st.sampled_from([middle, b'', middle * 2, bytes(end - start)]))
    tail = draw(st.sampled_from([damaged[end:], b'']))
    return bytes(damaged[:start] + middle + draw(st.binary(max_size=20)) + tail)


_KINDS = [b'IDAT', b'PLTE', b'tRNS', b'acTL', b'fcTL', b'fdAT', b'eXIf', b'zTXt', b'IEND']
_PAYLOADS = st.binary(max_size=60)
_CHUNKS = st.tuples(st.sampled_from(_KINDS), _PAYLOADS | _PAYLOADS.map(zlib.compress))


@_BOUNDED
@given(
    st.tuples(st.sampled_from([1, 16, 40, 2**31]), st.integers(0, 48), st.integers(0, 17)),
    st.integers(0, 7),
    st.lists(_CHUNKS, max_size=6),
)
def test_png_of_random_chunks(sizes, kind, chunks):
    width, height, bits = sizes
    header = struct.pack('>IIBBBBB', width, height, bits, kind, 0, 0, 0)
    body = b''.join(made.chunk(*chunk) for chunk in [(b'IHDR', header), *chunks, (b'IEND', b'')])
    check(b'\x89PNG\r\n\x1a\n' + body)


_PICTURE_TAGS = [256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320]
_TAGS = st.sampled_from([*_PICTURE_TAGS, 322, 323, 324, 325, 305, 338, 339, 347, 33723, 34665])
_ENTRIES = st.tuples(
    st.integers(0, 18),
    st.sampled_from([0, 1, 3, 4, 1000, 2**31]) | st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 2, 8, 16, 32, 2**31]) | st.integers(0, 2**32 - 1),
)


@_BOUNDED
@given(st.dictionaries(_TAGS, _ENTRIES, max_size=8), st.sampled_from([None, 'tiff_lzw']))
def test_tiff_with_random_tags(tags, compression):
    check(made.tiff_with(tags, made.noise(), compression=compression))


@_BOUNDED
@given(st.sampled_from([b'II*\0', b'MM\0*']), st.binary(max_size=80))
def test_photograph_with_random_exif_is_accepted(order, exif):
    for name in ('JPEG', 'CMYK JPEG'):
        contents = made.with_app1(_VALID[name], b'Exif\0\0' + order + exif)
        check(contents)
        image = examine(contents, _CONFIG)
        assert {image.width, image.height} == {96, 64}


@pytest.mark.parametrize('name', _VALID)
def test_damaged_image(name):
    @_BOUNDED
    @given(mutations(_VALID[name]))
    def examine_it(contents):
        check(contents)

    examine_it()
