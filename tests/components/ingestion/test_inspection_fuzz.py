"""No bytes make the check of images raise anything but Rejected, nor warn."""

import warnings

import image_bytes as made
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.ingestion.config import CheckConfig
from components.ingestion.inspection import Rejected, examine

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


@pytest.mark.parametrize('name', _VALID)
def test_no_damage_to_an_image_does(name: str) -> None:
    @_BOUNDED
    @given(mutations(_VALID[name]))
    def examine_it(contents: bytes) -> None:
        check(contents)

    examine_it()
