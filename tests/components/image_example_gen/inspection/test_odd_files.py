"""The outcome of each odd file."""

import image_bytes as made
import numpy as np
import pytest
import tensorflow as tf
from odd_images import ODD, Accepted, OddImage, Refused

from common.errors import Rejected
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.examine import GoodImage, examine


@pytest.mark.parametrize('odd', [pytest.param(odd, id=name) for name, odd in ODD.items()])
def test_odd_file_has_its_expected_outcome(odd: OddImage) -> None:
    try:
        image = examine(odd.contents, CheckConfig(animated=odd.animated))
    except Rejected as rejected:
        check_refused(rejected, odd)
    else:
        check_accepted(image, odd)


def check_accepted(image: GoodImage, odd: OddImage) -> None:
    assert not isinstance(odd.outcome, Refused), 'accepted'
    pixels = tf.io.decode_image(image.contents, channels=3, expand_animations=False).numpy()
    assert pixels.shape == (image.height, image.width, 3)
    if isinstance(odd.outcome, Accepted):
        assert image.format == odd.outcome.format
        assert (image.contents == odd.contents) == odd.outcome.kept
        assert (image.width, image.height) == odd.outcome.size
        if odd.outcome.colours:
            np.testing.assert_allclose(made.middles(pixels), odd.outcome.colours, atol=9)
    else:
        assert image.contents == odd.contents


def check_refused(rejected: Rejected, odd: OddImage) -> None:
    assert not isinstance(odd.outcome, Accepted), f'refused, {rejected}'
    if isinstance(odd.outcome, Refused):
        assert rejected.reason == odd.outcome.reason, rejected
        assert odd.outcome.words in rejected.detail, rejected
    else:
        assert rejected.reason in odd.outcome.reasons, rejected
