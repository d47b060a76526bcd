"""Limits, order of the checks, and what a caller may rely on."""

import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import image_bytes as made
import numpy as np
import PIL.Image
import pytest

from common.errors import Rejected
from components.image_example_gen.inspection import examine as inspection
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.examine import examine
from components.image_example_gen.inspection.measures import measure
from components.image_example_gen.inspection.perceptual_hash import perceptual_hash

CONFIG = CheckConfig()


def rejection(contents: bytes, **limits: object) -> Rejected:
    with pytest.raises(Rejected) as rejected:
        examine(contents, CheckConfig(**limits))
    return rejected.value


def test_what_is_measured_is_what_is_kept() -> None:
    contents = made.encoded(made.noise(), 'PNG')
    image = examine(contents, CONFIG)
    assert image.measures == measure(made.noise())
    assert image.perceptual_hash == perceptual_hash(made.noise())


def test_a_turned_photograph_is_measured_upright() -> None:
    upright, turned = (examine(made.turned(orientation), CONFIG) for orientation in (1, 6))
    assert turned.measures == pytest.approx(upright.measures, rel=0.02)
    assert (turned.width, turned.height) == made.SIZE


def test_limits_are_those_of_the_recipe() -> None:
    contents = made.encoded(made.noise((200, 100)), 'PNG')
    assert examine(contents, CheckConfig(min_side=100, max_megapixels=0.02)).change is None
    assert 'shorter side needs 101' in rejection(contents, min_side=101).detail
    assert 'more than 0.019 megapixels' in rejection(contents, max_megapixels=0.019).detail
    large = rejection(contents, max_megabytes=0.001)
    assert large.reason == 'too large'
    assert 'more than 0.001' in large.detail


def test_a_file_that_is_too_large_is_not_looked_at() -> None:
    assert rejection(b'<html>' * 1000, max_megabytes=0.001).reason == 'too large'


def test_dimensions_are_checked_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(inspection, 'decoding')
    assert rejection(made.png_of_size(50_000, 50_000)).reason == 'too large'
    assert rejection(made.webp_of_size(50_000, 50_000)).reason == 'too large'
    assert rejection(made.encoded(made.quarters((15, 90)), 'GIF')).reason == 'too small'


def test_no_recipe_allows_more_than_tensorflow_decodes() -> None:
    contents = made.png_of_size(16_000, 16_000)
    assert 'more than 178.96 megapixels' in rejection(contents, max_megapixels=1e6).detail


@pytest.mark.parametrize('error', [MemoryError, RecursionError, SystemError('odd\nthings')])
def test_whatever_a_decoder_raises_is_damage(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(inspection.decoding, 'with_tensorflow', fail)
    rejected = rejection(made.jpeg())
    assert rejected.reason == 'damaged'
    assert rejected.detail.startswith('decoding it failed with ')
    assert '\n' not in rejected.detail


def test_an_interrupt_is_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inspection.decoding, 'with_tensorflow', interrupt)
    with pytest.raises(KeyboardInterrupt):
        examine(made.jpeg(), CONFIG)


def test_an_image_between_the_limits_of_pillow_and_the_recipe_gives_no_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(PIL.Image, 'MAX_IMAGE_PIXELS', 1000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        for kind in ('JPEG', 'PNG', 'BMP', 'WEBP'):
            assert examine(made.encoded(made.quarters(), kind), CONFIG).width == made.WIDTH
        for kind in ('GIF', 'TIFF'):
            assert rejection(made.encoded(made.quarters(), kind)).reason == 'too large'
    assert not caught


def test_a_rejection_can_be_sent_to_another_process() -> None:
    sent = pickle.loads(pickle.dumps(rejection(b'')))
    assert (sent.reason, sent.detail, str(sent)) == (
        'empty',
        'it has no bytes',
        'empty: it has no bytes',
    )


def test_threads_do_not_disturb_each_other() -> None:
    kinds = ('JPEG', 'PNG', 'GIF', 'TIFF', 'WEBP', 'BMP')
    files = [made.encoded(made.noise(seed=n), kinds[n % 6]) for n in range(24)]
    barrier = threading.Barrier(4)

    def examine_all(_: int) -> list[inspection.GoodImage]:
        barrier.wait(60)
        return [examine(contents, CONFIG) for contents in files]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(examine_all, range(4))
    assert first == [examine(contents, CONFIG) for contents in files]
    assert others == [first] * 3


def test_photographs_are_kept_as_they_are(photographs: Path) -> None:
    files = sorted(photographs.glob('**/*.jpg'))[::50]
    images = [examine(file.read_bytes(), CONFIG) for file in files]
    assert [image.contents for image in images] == [file.read_bytes() for file in files]
    means = np.mean([image.measures for image in images], axis=0)
    assert (np.array([0.2, 0.1, 4, 10]) < means).all()
    assert (means < np.array([0.7, 0.4, 10, 80])).all()
