"""Where in an image a model has seen what it says."""

from collections.abc import Callable

import tensorflow as tf

Head = Callable[[tf.Tensor], tf.Tensor]


def grad_cam(head: Head, feature_map: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Heat maps for the classes that are said, float32 [batch, height, width] in 0..1.

    Follows Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization" (ICCV 2017): channels are weighted with the mean gradient of the class's logit.
    Each map is divided by its largest value; it is 0 everywhere where nothing speaks for the class.

    Args:
        head: from the feature map to the logits.
        feature_map: float32 [batch, height, width, channels], of the last layer before the head.
        labels: of the classes, int [batch, 1]. One logit speaks for class 1, and against 0.
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
