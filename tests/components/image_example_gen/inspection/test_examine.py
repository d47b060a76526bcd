"""Outcomes of odd files, limits, and batches of images."""

import io
import os

import image_bytes as made
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_images import ODD

from common.errors import DataError, Rejected, WorkerDied
from components.image_example_gen.inspection import examine as inspection
from components.image_example_gen.inspection import limited_process
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import examine, examine_all, worker_processes
from components.image_example_gen.inspection.measures import GoodImage, measure, perceptual_hash

CONFIG = CheckConfig()
SLOW = made.with_scans(15_000, (1000, 1000))  # above the CPU time of a megapixel


def rejection(contents, **limits):
    with pytest.raises(Rejected) as rejected:
        examine(contents, CheckConfig(**limits))
    return rejected.value


@pytest.mark.parametrize('odd', [pytest.param(odd, id=name) for name, odd in ODD.items()])
def test_odd_file_has_its_expected_outcome(odd):
    if isinstance(odd.outcome, str):
        assert rejection(odd.contents).reason == odd.outcome
        return
    image = examine(odd.contents, CONFIG)
    pixels = tf.io.decode_image(image.contents, channels=3, expand_animations=False).numpy()
    assert pixels.shape == (image.height, image.width, 3)
    assert (image.format, pixels.shape[1::-1]) == (odd.outcome.format, odd.outcome.size)
    assert (image.contents == odd.contents) == odd.outcome.kept
    if odd.outcome.colours:
        np.testing.assert_allclose(made.middles(pixels), odd.outcome.colours, atol=9)


def test_jpegs_cut_anywhere_with_an_end_marker_are_truncated():
    contents = made.jpeg(made.natural(0))
    starts = np.linspace(contents.index(b'\xff\xda') + 50, len(contents) - 500, 40).astype(int)
    files = [(None, contents[:start] + b'\xff\xd9') for start in starts]
    outcomes = [outcome for _, outcome in examine_all(files, CONFIG)]
    assert {getattr(outcome, 'reason', None) for outcome in outcomes} == {'truncated'}


def test_measures_are_those_of_the_upright_pixels():
    image = examine(made.encoded(made.noise(), 'PNG'), CONFIG)
    assert image.measures == measure(made.noise())
    assert image.perceptual_hash == perceptual_hash(made.noise())
    large = made.natural(1, (700, 530))  # is reduced in bands
    image = examine(made.encoded(large, 'PNG'), CONFIG)
    assert image.perceptual_hash == perceptual_hash(large)
    upright, turned = (examine(made.turned(orientation), CONFIG) for orientation in (1, 6))
    assert turned.measures == pytest.approx(upright.measures, rel=0.02)


@pytest.mark.parametrize('kind', ['PNG', 'WEBP', 'TIFF'])
def test_converted_image_has_no_profile_or_exif(kind):
    exif = PIL.Image.Exif()
    exif[made.ORIENTATION] = 3
    image = made.quarters().convert('RGBA')
    contents = made.encoded(image, kind, exif=exif.tobytes(), icc_profile=b'profile' * 20)
    written = PIL.Image.open(io.BytesIO(examine(contents, CONFIG).contents))
    assert not written.getexif()
    assert 'icc_profile' not in written.info


def test_limits_are_those_of_the_recipe():
    contents = made.encoded(made.noise((200, 100)), 'PNG')
    assert examine(contents, CheckConfig(min_side=100, max_megapixels=0.02)).width == 200
    assert 'shorter side needs 101' in rejection(contents, min_side=101).detail
    assert '0.019 megapixels' in rejection(contents, max_megapixels=0.019).detail
    assert rejection(b'<html>' * 1000, max_megabytes=0.001).reason == 'too large'
    converted = made.encoded(made.natural(0), 'WEBP', quality=1)
    limit = 2 * len(converted) / 1e6
    assert 'converted, it has ' in rejection(converted, max_megabytes=limit).detail


@pytest.mark.parametrize('side', [6900, 7900])  # 48 and 62 megapixels
def test_large_png_is_kept(side):
    contents = made.encoded(PIL.Image.new('RGB', (side, side), 'red'), 'PNG', compress_level=1)
    assert examine(contents, CONFIG).contents == contents


def test_image_above_the_limits_of_a_worker_ends_only_itself():
    files = [made.jpeg(), SLOW, made.jpeg(), made.avif_bomb(), made.encoded(made.noise(), 'PNG')]
    outcomes = dict(examine_all(enumerate(files), CONFIG))
    assert [*outcomes] == [*range(len(files))]
    assert {outcomes[n].reason for n in (1, 3)} == {'too large'}
    assert all(isinstance(outcomes[n], GoodImage) for n in (0, 2, 4))


def test_run_stops_after_too_many_dead_workers(monkeypatch):
    def die(*_):
        raise WorkerDied
        yield

    monkeypatch.setattr(inspection, '_deaths', 0)
    monkeypatch.setattr(inspection, '_MOST_DEATHS', 1)
    monkeypatch.setattr(inspection, 'call', die)
    with pytest.raises(DataError, match='2 images crashed their decoder'):
        list(examine_all([(None, made.jpeg()), (None, made.jpeg())], CONFIG))
    monkeypatch.undo()
    assert examine(made.jpeg(), CONFIG).width == made.WIDTH


def test_results_are_ordered_and_few_images_are_read_ahead():
    read = []

    def images():
        for number in range(400):
            read.append(number)
            yield number, None if number % 50 == 0 else made.jpeg()

    results = examine_all(images(), CONFIG)
    first = [next(results) for _ in range(40)]
    assert [number for number, _ in first] == [*range(40)]
    assert first[0][1] is None
    assert len(read) <= 32 * (2 + (os.cpu_count() or 1))
    results.close()  # ends what the workers do
    with worker_processes():
        assert examine(made.jpeg(), CONFIG).width == made.WIDTH
        server, _ = limited_process._server
        assert server.poll() is None
    assert server.poll() is not None
    assert examine(made.jpeg(), CONFIG).width == made.WIDTH


VALID = [
    *(made.encoded(made.noise(), kind) for kind in ('JPEG', 'PNG', 'WEBP', 'TIFF', 'BMP')),
    *(made.animated(kind) for kind in ('PNG', 'GIF', 'WEBP')),
    *(made.turned(5), made.avif(made.noise()), made.heif(made.noise())),
    *(made.jpeg(made.noise(), progressive=True), made.jpeg(made.noise().convert('CMYK'))),
]


@st.composite
def mutations(draw):
    """A valid file with a few bytes changed, and a part removed, repeated or replaced."""
    contents = draw(st.sampled_from(VALID))
    damaged = bytearray(contents)
    places = st.integers(0, len(contents) - 1) | st.integers(0, min(200, len(contents) - 1))
    for place in draw(st.lists(places, max_size=4)):
        damaged[place] = draw(st.integers(0, 255) | st.sampled_from([0, 1, 0x7F, 0xFF]))
    start, end = sorted((draw(places), draw(places)))
    middle = bytes(damaged[start:end])
    middle = draw(st.sampled_from([middle, b'', middle * 2, bytes(end - start)]))
    return bytes(damaged[:start] + middle + draw(st.binary(max_size=20)) + damaged[end:])


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(mutations())
def test_damaged_image_is_refused_or_decodable(contents):
    try:
        image = examine(contents, CheckConfig(max_megapixels=1))
    except Rejected as rejected:
        message = str(rejected)
    else:
        message = ''
    assert '\n' not in message
    assert len(message) < 400
    if message:
        return
    pixels = tf.io.decode_image(image.contents, channels=3, expand_animations=False)
    assert pixels.shape == (image.height, image.width, 3)
