"""A depthwise convolution for training in bfloat16 on a CPU.

oneDNN 3.4 and newer compute the input gradient of a strided depthwise convolution in bfloat16 with
a kernel for many channels per group, which takes 50 times as long. This module can go when oneDNN
uses its depthwise kernel.
"""

from collections.abc import Callable

import keras
import tensorflow as tf


def has_slow_gradient(layer: keras.Layer) -> bool:
    """Whether `StridedDepthwiseConv2D` trains faster than the layer."""
    return (
        isinstance(layer, keras.layers.DepthwiseConv2D)
        and layer.padding == 'valid'
        and layer.strides != (1, 1)
        and layer.dilation_rate == (1, 1)
    )


class StridedDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """A `DepthwiseConv2D` with strides and without padding, whose input gradient has no strides.

    The gradient is that of the convolution with stride 1, with zeros for the outputs that strides
    leave out.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        if not training:
            return super().call(inputs)
        kernel, bias = (tf.cast(each, inputs.dtype) for each in (self.kernel, self.bias))
        return self.activation(tf.nn.bias_add(_convolve(inputs, kernel, self.strides), bias))


def _convolve(inputs: tf.Tensor, kernel: tf.Tensor, strides: tuple[int, int]) -> tf.Tensor:
    @tf.custom_gradient
    def convolve(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            block, channels = strides[0], upstream.shape[-1]
            zeros = tf.pad(upstream, [*[[0, 0]] * 3, [0, (block**2 - 1) * channels]])
            spread = tf.nn.depth_to_space(zeros, block)
            height, width = (
                size - taps + 1
                for size, taps in zip(inputs.shape[1:3], kernel.shape[:2], strict=True)
            )
            by_inputs = tf.nn.depthwise_conv2d_backprop_input(
                tf.shape(inputs), kernel, spread[:, :height, :width], [1, 1, 1, 1], 'VALID'
            )
            by_kernel = tf.nn.depthwise_conv2d_backprop_filter(
                inputs, kernel.shape, upstream, [1, *strides, 1], 'VALID'
            )
            return by_inputs, by_kernel

        return tf.nn.depthwise_conv2d(inputs, kernel, [1, *strides, 1], 'VALID'), gradient

    return convolve(inputs, kernel)
