"""Bias correction of int8 models."""

import numpy as np
import tensorflow as tf

from common import features
from components.conversion.lite import conversion

SIZE = 32


class OneLargeWeight(tf.Module):
    """A 3x3 convolution with 26 weights that int8 rounds to zero, because another one is large."""

    def __init__(self):
        super().__init__()
        kernel = np.full((3, 3, 3, 1), 0.035, np.float32)
        kernel[1, 1, 1] = 10
        self.kernel = tf.Variable(kernel)
        self.bias = tf.Variable(-kernel.sum((0, 1, 2)) / 2)

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32, 'pixels')])
    def serve(self, pixels):
        outputs = tf.nn.conv2d(pixels / 255, self.kernel, 1, 'VALID') + self.bias
        logit = tf.reduce_mean(outputs, [1, 2])
        return {features.LOGIT: logit, features.PROBABILITY: tf.sigmoid(logit)}


def test_corrects_mean_error_of_rounded_weights(tmp_path):
    model = OneLargeWeight()
    tf.saved_model.save(model, tmp_path, {features.SIGNATURE_PIXELS: model.serve})
    images = np.random.default_rng(0).integers(0, 256, (8, SIZE, SIZE, 3)).astype(np.uint8)
    lite = conversion.convert(tmp_path, 'int8', images)
    wanted = model.serve(tf.constant(images, tf.float32))[features.PROBABILITY]
    # The logit without the rounded weights is lower by 26 * 0.035 times the mean pixel, one half.
    assert np.abs(conversion.probabilities(lite, images) - wanted).max() < 0.03
