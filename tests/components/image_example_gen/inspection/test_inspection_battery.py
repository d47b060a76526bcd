"""Each odd file becomes what it must."""

import io

import image_bytes as made
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from odd_images import ODD, Accepted, Either, OddImage, Refused, bad_files

from common.errors import Rejected
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.examine import GoodImage, examine


def decoded(image: GoodImage) -> np.ndarray:
    pixels = tf.io.decode_image(image.contents, channels=3, expand_animations=False).numpy()
    assert pixels.shape == (image.height, image.width, 3)
    return pixels


@pytest.mark.parametrize('odd', [pytest.param(odd, id=name) for name, odd in ODD.items()])
def test_an_odd_file_becomes_what_it_must(odd: OddImage) -> None:
    result = examined(odd)
    if isinstance(result, GoodImage):
        check_accepted(result, odd)
    else:
        check_refused(result, odd.outcome)


def examined(odd: OddImage) -> GoodImage | Rejected:
    try:
        return examine(odd.contents, CheckConfig(animated=odd.animated))
    except Rejected as rejected:
        return rejected


def check_accepted(image: GoodImage, odd: OddImage) -> None:
    pixels, outcome = decoded(image), odd.outcome
    assert not isinstance(outcome, Refused), f'accepted, {image.change}'
    if image.change is None:
        assert image.contents == odd.contents
    if isinstance(outcome, Accepted):
        assert (image.change, image.format) == (outcome.change, outcome.format)
        assert (image.width, image.height) == outcome.size
        if outcome.colours:
            np.testing.assert_allclose(made.middles(pixels), outcome.colours, atol=9)


def check_refused(rejected: Rejected, outcome: Accepted | Refused | Either) -> None:
    assert not isinstance(outcome, Accepted), f'refused, {rejected}'
    if isinstance(outcome, Refused):
        assert rejected.reason == outcome.reason, rejected
        assert outcome.words in rejected.detail, rejected
    else:
        assert rejected.reason in outcome.reasons, rejected


def test_there_are_odd_files_of_all_outcomes() -> None:
    outcomes = [type(odd.outcome) for odd in ODD.values()]
    assert all(outcomes.count(kind) >= 5 for kind in (Accepted, Refused, Either))
    assert len(ODD) >= 50


@pytest.mark.parametrize('animated', [True, False])
def test_bad_files_are_bad_for_the_reason_given(animated: bool) -> None:
    config = CheckConfig(animated='refuse' if animated else 'first_frame')
    for name, (contents, reason) in bad_files(animated).items():
        with pytest.raises(Rejected) as rejected:
            examine(contents, config)
        assert rejected.value.reason == reason, name


@pytest.mark.parametrize('kind', ['PNG', 'WEBP', 'TIFF'])
def test_profiles_and_exif_are_dropped_from_what_is_written_again(kind: str) -> None:
    exif = PIL.Image.Exif()
    exif[made.ORIENTATION] = 3
    image = made.quarters().convert('RGBA')
    contents = made.encoded(image, kind, exif=exif.tobytes(), icc_profile=b'profile' * 20)
    written = PIL.Image.open(io.BytesIO(examine(contents, CheckConfig()).contents))
    assert not written.getexif()
    assert 'icc_profile' not in written.info
