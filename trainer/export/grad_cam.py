"""Grad-CAM heat maps."""

from collections.abc import Callable

import tensorflow as tf

Head = Callable[[tf.Tensor], tf.Tensor]


def grad_cam(head: Head, feature_map: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Computes heat maps for the given classes, float32 [batch, height, width] in 0..1.

    Follows Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization" (ICCV 2017): channels are weighted with the mean gradient of the class's logit.
    Each map is divided by its maximum; it is 0 everywhere if no region supports the class.

    Args:
        head: maps the feature map to logits.
        feature_map: float32 [batch, height, width, channels], output of the last layer before the
            head.
        labels: classes to explain, int [batch, 1]. A single logit is that of class 1; its negative
            is used for class 0.
    """
    with tf.GradientTape() as tape:
        tape.watch(feature_map)
        logits = head(feature_map)
        if logits.shape[-1] == 1:
            score = tf.where(labels == 1, logits, -logits)
        else:
            score = tf.gather(logits, labels, batch_dims=1)
    weights = tf.reduce_mean(tape.gradient(score, feature_map), axis=[1, 2], keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * feature_map, axis=-1))
    return tf.math.divide_no_nan(heat, tf.reduce_max(heat, axis=[1, 2], keepdims=True))
