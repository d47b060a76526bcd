"""The outcome of each odd file."""

import image_bytes as made
import numpy as np
import pytest
import tensorflow as tf
from odd_images import ODD, Accepted, Either, Refused

from common.errors import Rejected
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.examine import examine


@pytest.mark.parametrize('odd', [pytest.param(odd, id=name) for name, odd in ODD.items()])
def test_odd_file_has_its_expected_outcome(odd):
    try:
        image = examine(odd.contents, CheckConfig(animated=odd.animated))
    except Rejected as rejected:
        assert not isinstance(odd.outcome, Accepted), f'refused, {rejected}'
        if isinstance(odd.outcome, Either):
            assert rejected.reason in ('damaged', 'truncated')  # noqa: PT017
        else:
            assert rejected.reason == odd.outcome.reason, rejected  # noqa: PT017
            assert odd.outcome.words in rejected.detail  # noqa: PT017
        return
    assert not isinstance(odd.outcome, Refused), 'accepted'
    pixels = tf.io.decode_image(image.contents, channels=3, expand_animations=False).numpy()
    assert pixels.shape == (image.height, image.width, 3)
    if isinstance(odd.outcome, Accepted):
        assert (image.format, pixels.shape[1::-1]) == (odd.outcome.format, odd.outcome.size)
        assert (image.contents == odd.contents) == odd.outcome.kept
        if odd.outcome.colours:
            np.testing.assert_allclose(made.middles(pixels), odd.outcome.colours, atol=9)
