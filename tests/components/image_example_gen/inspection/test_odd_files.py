"""The outcome of each odd file."""

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


@pytest.mark.parametrize('odd', [pytest.param(odd, id=name) for name, odd in ODD.items()])
def test_odd_file_has_its_expected_outcome(odd: OddImage) -> None:
    try:
        image = examine(odd.contents, CheckConfig(animated=odd.animated))
    except Rejected as rejected:
        check_refused(rejected, odd.outcome)
    else:
        check_accepted(image, odd)


def check_accepted(image: GoodImage, odd: OddImage) -> None:
    outcome = odd.outcome
    assert not isinstance(outcome, Refused), f'accepted, {image.change}'
    pixels = tf.io.decode_image(image.contents, channels=3, expand_animations=False).numpy()
    assert pixels.shape == (image.height, image.width, 3)
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


@pytest.mark.parametrize('animated', [True, False])
def test_bad_files_have_the_stated_reason(animated: bool) -> None:
    config = CheckConfig(animated='refuse' if animated else 'first_frame')
    for name, (contents, reason) in bad_files(animated).items():
        with pytest.raises(Rejected) as rejected:
            examine(contents, config)
        assert rejected.value.reason == reason, name


@pytest.mark.parametrize('kind', ['PNG', 'WEBP', 'TIFF'])
def test_converted_image_has_no_profile_or_exif(kind: str) -> None:
    exif = PIL.Image.Exif()
    exif[made.ORIENTATION] = 3
    image = made.quarters().convert('RGBA')
    contents = made.encoded(image, kind, exif=exif.tobytes(), icc_profile=b'profile' * 20)
    written = PIL.Image.open(io.BytesIO(examine(contents, CheckConfig()).contents))
    assert not written.getexif()
    assert 'icc_profile' not in written.info
