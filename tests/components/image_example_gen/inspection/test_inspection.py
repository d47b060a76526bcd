"""Outcomes of odd files, limits, errors of decoders, warnings and threads."""

import io
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import image_bytes as made
import numpy as np
import PIL.Image
import PIL.TiffImagePlugin
import pytest
import tensorflow as tf
from odd_images import ODD, Refused

from common.errors import Rejected
from components.image_example_gen.inspection import examine as inspection
from components.image_example_gen.inspection import headers, heif, magic_numbers
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import examine
from components.image_example_gen.inspection.headers import Header, read_header
from components.image_example_gen.inspection.measures import measure, perceptual_hash
from components.image_example_gen.inspection.memory_budget import MemoryBudget
from components.image_example_gen.limited_process import Limits

CONFIG = CheckConfig()
KINDS = ('JPEG', 'PNG', 'GIF', 'TIFF', 'WEBP', 'BMP')


def rejection(contents, **limits):
    with pytest.raises(Rejected) as rejected:
        examine(contents, CheckConfig(**limits))
    return rejected.value


@pytest.mark.parametrize('odd', [pytest.param(odd, id=name) for name, odd in ODD.items()])
def test_odd_file_has_its_expected_outcome(odd):
    if isinstance(odd.outcome, Refused):
        refused = rejection(odd.contents, animated=odd.animated)
        assert refused.reason == odd.outcome.reason
        assert odd.outcome.words in refused.detail
        return
    image = examine(odd.contents, CheckConfig(animated=odd.animated))
    pixels = tf.io.decode_image(image.contents, channels=3, expand_animations=False).numpy()
    assert pixels.shape == (image.height, image.width, 3)
    assert (image.format, pixels.shape[1::-1]) == (odd.outcome.format, odd.outcome.size)
    assert (image.contents == odd.contents) == odd.outcome.kept
    if odd.outcome.colours:
        np.testing.assert_allclose(made.middles(pixels), odd.outcome.colours, atol=9)


def test_measures_are_those_of_the_upright_pixels():
    image = examine(made.encoded(made.noise(), 'PNG'), CONFIG)
    assert image.measures == measure(made.noise())
    assert image.perceptual_hash == perceptual_hash(made.noise())
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


@pytest.mark.parametrize('order', ['<', '>'])
@pytest.mark.parametrize(
    ('prefix', 'magic', 'tags', 'orientation'),
    [
        (b'', 42, {}, 6),
        (b'Exif\0\0', 42, {}, 6),
        (b'Exif\0\0' * 2, 42, {}, 1),
        (b'', 42, {40_000 + each: (7, 8_000, 0) for each in range(300)}, 6),  # values that overlap
        (b'', 42, {made.ORIENTATION: (3, 2, 0)}, 1),  # two values
        (b'', 42, {made.ORIENTATION: (3, 1, 9)}, 1),
        (b'', 43, {}, 1),  # BigTIFF
    ],
)
def test_only_the_orientation_of_exif_data_is_read(order, prefix, magic, tags, orientation):
    tags = {made.ORIENTATION: (3, 1, 6), **tags}
    entries = [
        struct.pack(f'{order}HHI', tag, kind, count) + struct.pack(f'{order}HH', value, 0)
        for tag, (kind, count, value) in tags.items()
    ]
    head = {'<': b'II', '>': b'MM'}[order] + struct.pack(f'{order}HIH', magic, 8, len(entries))
    exif = prefix + head + b''.join(entries) + bytes(10_000)
    plain = made.encoded(made.quarters(), 'PNG')

    contents = plain[:33] + made.chunk(b'eXIf', exif) + plain[33:]

    assert read_header(contents).orientation == orientation


def test_sizes_of_tiff_values_are_those_that_pillow_reads():
    read = PIL.TiffImagePlugin.ImageFileDirectory_v2._load_dispatch
    assert {kind: size for kind, (size, _) in read.items()} == headers._TYPE_BYTES


@pytest.mark.parametrize('name', ['cmyk.jpg', 'within.tif'])
def test_decodes_images_with_more_metadata_than_pillow_should_read(name):
    contents = made.metadata_bombs()[name]
    assert examine(contents, CONFIG).width == made.quarters().width


def test_limits_are_those_of_the_recipe():
    contents = made.encoded(made.noise((200, 100)), 'PNG')
    assert examine(contents, CheckConfig(min_side=100, max_megapixels=0.02)).width == 200
    assert 'shorter side needs 101' in rejection(contents, min_side=101).detail
    assert 'more than 0.019 megapixels' in rejection(contents, max_megapixels=0.019).detail
    assert 'more than 0.001' in rejection(b'<html>' * 1000, max_megabytes=0.001).detail


def test_size_is_checked_before_decoding(monkeypatch):
    monkeypatch.delattr(inspection, '_decode')
    assert rejection(made.png_of_size(50_000, 50_000)).reason == 'too large'
    assert rejection(made.webp_of_size(50_000, 50_000)).reason == 'too large'
    most = rejection(made.png_of_size(16_000, 16_000), max_megapixels=1e6)
    assert 'more than 178.96 megapixels' in most.detail  # the limit of TensorFlow
    assert rejection(made.encoded(made.quarters((15, 90)), 'GIF')).reason == 'too small'


@pytest.mark.parametrize('error', [MemoryError, RecursionError, SystemError('odd\nthings')])
def test_any_exception_of_a_decoder_is_damage(error, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(inspection, '_decode_with_tensorflow', fail)
    rejected = rejection(made.jpeg())
    assert rejected.reason == 'damaged'
    assert rejected.detail.startswith('decoding it failed with ')
    assert '\n' not in rejected.detail


@pytest.mark.parametrize('kind', KINDS)
def test_image_above_warning_limit_of_pillow_is_accepted(kind, monkeypatch):
    contents = made.encoded(made.quarters(), kind)
    monkeypatch.setattr(PIL.Image, 'MAX_IMAGE_PIXELS', 1000)  # Pillow refuses twice as many
    assert examine(contents, CONFIG).width == made.WIDTH


def test_importing_the_header_reader_filters_warnings_of_pillow():
    read = 'import sys; from components.image_example_gen.inspection.headers import read_header; '
    exif = b'Exif\0\0II*\0\x08\0\0\0\x01\0' + bytes(4)
    command = [sys.executable, '-W', 'always', '-c', read + 'read_header(sys.stdin.buffer.read())']
    done = subprocess.run(
        command, input=made.with_app1(made.jpeg(), exif), capture_output=True, check=True
    )
    assert done.stderr == b''


@pytest.mark.parametrize('large', [True, False])
def test_only_large_images_are_decoded_one_at_a_time(large, monkeypatch):
    files = [
        *(made.encoded(made.noise(), kind) for kind in ('PNG', 'WEBP', 'TIFF')),
        made.turned(6),
    ]
    start, together = (threading.Barrier(len(files)) for _ in range(2))
    decoding, counts = set[int](), [0]
    decode = inspection._decode

    def count(*arguments):
        decoding.add(threading.get_ident())
        if large:
            time.sleep(0.05)  # for another one to start
        else:
            together.wait()
        counts.append(len(decoding))
        decoding.remove(threading.get_ident())
        return decode(*arguments)

    def examine_one(contents):
        start.wait()
        examine(contents, CONFIG)

    monkeypatch.setattr(inspection, '_decode', count)
    if large:
        monkeypatch.setattr(inspection, 'memory', MemoryBudget(1000))
    with ThreadPoolExecutor(len(files)) as pool:
        list(pool.map(examine_one, files))
    assert (max(counts) == 1) == large


@pytest.mark.parametrize(
    ('image_format', 'options', 'megapixels'),
    [
        ('JPEG', {'plain': True}, 64),  # decoded at an eighth of its size
        ('JPEG', {'plain': True, 'coefficients': 3}, 59),
        ('JPEG', {'plain': True, 'orientation': 6}, 46),
        ('JPEG', {'plain': True, 'orientation': 6, 'coefficients': 3}, 26),
        ('JPEG', {'coefficients': 4}, 23),
        ('PNG', {'plain': True}, 46),
        ('TIFF', {}, 30),
        ('AVIF', {}, 24),
        ('WebP', {}, 23),
    ],
)
def test_limit_of_pixels_depends_on_the_memory_for_decoding(image_format, options, megapixels):
    inspection._check_header(Header(image_format, 1000, 1000 * megapixels, **options), CONFIG)
    more = Header(image_format, 1000, 1000 * (megapixels + 1), **options)
    with pytest.raises(Rejected, match=r'^too large: '):
        inspection._check_header(more, CONFIG)
    inspection._check_header(more, CheckConfig(max_megapixels=128))


def test_refuses_image_that_is_too_large_after_it_was_converted():
    contents = made.encoded(made.natural(0), 'WEBP', quality=1)
    limit = 2 * len(contents) / 1e6
    assert 'too large: converted, it has ' in str(rejection(contents, max_megabytes=limit))


def test_heic_without_its_package_names_the_command(monkeypatch):
    monkeypatch.setattr(magic_numbers, '_HEIC_PACKAGE', 'no_such_package')
    refused = rejection(made.heif())
    assert refused.reason == 'unsupported format'
    assert 'image, and pillow-heif is not installed; `make venv-dev` adds it' in refused.detail


def test_avif_that_decodes_to_far_more_than_it_says_is_refused(monkeypatch):
    bomb = made.heif_of_size(made.avif_bomb(), 48, 32)
    monkeypatch.setattr(heif, '_LIMITS', Limits(30, megabytes=400))
    assert 'cannot be decoded' in rejection(bomb).detail
    assert examine(made.avif(), CONFIG).width == made.WIDTH
