"""No bytes make the check of images raise anything but Rejected, nor warn."""

import struct
import warnings
import zlib

import image_bytes as made
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.errors import Rejected
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.examine import examine

_CONFIG = CheckConfig(max_megapixels=1)  # small ones, for the sake of time
_BOUNDED = settings(max_examples=60, deadline=None, derandomize=True, database=None)
_VALID = {
    'JPEG': made.jpeg(made.noise()),
    'progressive JPEG': made.jpeg(made.noise(), progressive=True),
    'CMYK JPEG': made.jpeg(made.noise().convert('CMYK')),
    'turned JPEG': made.turned(5),
    'PNG': made.encoded(made.noise(), 'PNG'),
    'palette PNG': made.encoded(made.noise().quantize(16), 'PNG'),
    'animated PNG': made.animated('PNG'),
    'GIF': made.animated('GIF'),
    'WebP': made.animated('WEBP'),
    'lossy WebP': made.encoded(made.noise(), 'WEBP'),
    'TIFF': made.encoded(made.noise(), 'TIFF', compression='tiff_lzw'),
    'raw TIFF': made.encoded(made.noise(), 'TIFF'),
    'BMP': made.encoded(made.noise(), 'BMP'),
}
_HEADS = [contents[:32] for contents in _VALID.values()]


def check(contents: bytes) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        try:
            image = examine(contents, _CONFIG)
        except Rejected as rejected:
            image = None
            message = str(rejected)
            one_line = '\n' not in message
            short = len(message) < 400
    assert not caught
    if image is None:
        assert one_line
        assert short
        return
    pixels = tf.io.decode_image(image.contents, channels=3, expand_animations=False)
    assert pixels.shape == (image.height, image.width, 3)


@st.composite
def mutations(draw: st.DrawFn, contents: bytes) -> bytes:
    """A valid file with a few bytes changed, a part cut out, doubled or filled, and maybe cut."""
    damaged = bytearray(contents)
    places = st.integers(0, len(contents) - 1) | st.integers(0, min(200, len(contents) - 1))
    for place in draw(st.lists(places, max_size=4)):
        damaged[place] = draw(st.integers(0, 255) | st.sampled_from([0, 1, 0x7F, 0xFF]))
    start, end = sorted((draw(places), draw(places)))
    how = draw(st.sampled_from(['leave', 'remove', 'repeat', 'zeros', 'insert', 'cut']))
    middle = {
        'leave': damaged[start:end],
        'remove': b'',
        'repeat': damaged[start:end] * 2,
        'zeros': bytes(end - start),
        'insert': damaged[start:end] + draw(st.binary(max_size=20)),
        'cut': damaged[start:end],
    }[how]
    tail = b'' if how == 'cut' else damaged[end:]
    return bytes(damaged[:start] + middle + tail)


@_BOUNDED
@given(st.binary(max_size=300))
@example(b'\xff\xd8\xff')
@example(b'RIFF\0\0\0\0WEBP')
@example(b'II*\0')
@example(b'BM' + bytes(12) + b'\x28\0\0\0')
def test_no_bytes_raise_anything_but_rejected(contents: bytes) -> None:
    check(contents)


@_BOUNDED
@given(st.sampled_from(_HEADS), st.integers(2, 32), st.binary(max_size=300))
def test_no_bytes_after_the_beginning_of_an_image_do(head: bytes, kept: int, rest: bytes) -> None:
    check(head[:kept] + rest)


_CHUNKS = st.tuples(
    st.sampled_from(
        [b'IDAT', b'PLTE', b'tRNS', b'acTL', b'fcTL', b'fdAT', b'eXIf', b'zTXt', b'IEND']
    ),
    st.binary(max_size=60) | st.binary(max_size=60).map(zlib.compress),
)


@_BOUNDED
@given(
    st.tuples(st.sampled_from([1, 16, 40, 2**31]), st.integers(0, 48), st.integers(0, 17)),
    st.integers(0, 7),
    st.lists(_CHUNKS, max_size=6),
)
def test_no_png_of_valid_chunks_does(
    sizes: tuple[int, int, int], kind: int, chunks: list[tuple[bytes, bytes]]
) -> None:
    width, height, bits = sizes
    header = struct.pack('>IIBBBBB', width, height, bits, kind, 0, 0, 0)
    body = b''.join(made.chunk(*chunk) for chunk in [(b'IHDR', header), *chunks, (b'IEND', b'')])
    check(b'\x89PNG\r\n\x1a\n' + body)


_TAGS = st.tuples(
    st.sampled_from([256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320])
    | st.sampled_from([322, 323, 324, 325, 338, 339, 347, 34665, 34853, 33723, 305]),
    st.integers(0, 18),
    st.sampled_from([0, 1, 3, 4, 1000, 2**31]) | st.integers(0, 2**32 - 1),
    st.sampled_from([0, 1, 2, 8, 16, 32, 2**31]) | st.integers(0, 2**32 - 1),
)


@_BOUNDED
@given(st.lists(_TAGS, max_size=8), st.sampled_from(['TIFF', 'raw TIFF']))
def test_no_tags_of_a_tiff_do(tags: list[tuple[int, int, int, int]], name: str) -> None:
    (start,) = struct.unpack_from('<I', _VALID[name], 4)
    (number,) = struct.unpack_from('<H', _VALID[name], start)
    entries = _VALID[name][start + 2 : start + 2 + 12 * number]
    entries += b''.join(struct.pack('<HHII', *tag) for tag in tags)
    directory = struct.pack('<H', number + len(tags)) + entries + bytes(4)
    position = struct.pack('<I', len(_VALID[name]))
    check(_VALID[name][:4] + position + _VALID[name][8:] + directory)


@_BOUNDED
@given(st.sampled_from([b'II*\0', b'MM\0*']), st.binary(max_size=80))
def test_no_exif_makes_a_photograph_bad(order: bytes, exif: bytes) -> None:
    for name in ('JPEG', 'CMYK JPEG'):
        contents = made.with_app1(_VALID[name], b'Exif\0\0' + order + exif)
        check(contents)
        image = examine(contents, _CONFIG)
        assert {image.width, image.height} == {96, 64}


@pytest.mark.parametrize('name', _VALID)
def test_no_damage_to_an_image_does(name: str) -> None:
    @_BOUNDED
    @given(mutations(_VALID[name]))
    def examine_it(contents: bytes) -> None:
        check(contents)

    examine_it()
