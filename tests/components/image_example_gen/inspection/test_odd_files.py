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
    config = CheckConfig(animated=odd.animated)
    if isinstance(odd.outcome, Refused):
        with pytest.raises(Rejected) as refused:
            examine(odd.contents, config)
        assert refused.value.reason == odd.outcome.reason
        assert odd.outcome.words in refused.value.detail
        return
    try:
        image = examine(odd.contents, config)
    except Rejected as error:
        if isinstance(odd.outcome, Either) and error.reason in ('damaged', 'truncated'):
            return
        raise
    pixels = tf.io.decode_image(image.contents, channels=3, expand_animations=False).numpy()
    assert pixels.shape == (image.height, image.width, 3)
    if isinstance(odd.outcome, Accepted):
        assert (image.format, pixels.shape[1::-1]) == (odd.outcome.format, odd.outcome.size)
        assert (image.contents == odd.contents) == odd.outcome.kept
        if odd.outcome.colours:
            np.testing.assert_allclose(made.middles(pixels), odd.outcome.colours, atol=9)
