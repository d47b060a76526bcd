"""Bias correction of int8 models in TensorFlow Lite."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.tools import flatbuffer_utils

_LAYERS = (
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    schema.BuiltinOperator.FULLY_CONNECTED,
)


def correct_biases(quantized: bytes, original: bytes, images: Iterable[np.ndarray]) -> bytes:
    """Returns the int8 model with the mean error of its rounded weights subtracted from the biases.

    Follows section 4.2 of Nagel et al., "Data-Free Quantization Through Weight Equalization and
    Bias Correction" (ICCV 2019). Rounded weights change the mean of a layer's outputs, because
    inputs after a ReLU have a mean above 0, and the changes of all layers add up. The mean inputs
    are those of `original`, the float32 model that the same conversion writes, on `images`, float32
    [1, size, size, 3].
    """
    corrected, exact = (
        flatbuffer_utils.convert_bytearray_to_object(bytearray(each))
        for each in (quantized, original)
    )
    layers = _layers(exact)
    means = _mean_values(original, [layer.inputs[0] for layer in layers], images)
    for rounded, layer, mean in zip(_layers(corrected), layers, means, strict=True):
        weights, biases = (corrected.subgraphs[0].tensors[index] for index in rounded.inputs[1:])
        exact_weights = exact.subgraphs[0].tensors[layer.inputs[1]]
        error = _dequantized(corrected, weights) - _values(exact, exact_weights, np.float32)
        # The last axis is that of the input channels, which a depthwise layer outputs unmixed.
        output = weights.quantization.quantizedDimension
        shift = (error * mean).sum(tuple(axis for axis in range(error.ndim) if axis != output))
        steps = np.round(shift / biases.quantization.scale).astype(np.int32)
        contents = (_values(corrected, biases, np.int32) - steps).tobytes()
        corrected.buffers[biases.buffer].data = np.frombuffer(contents, np.uint8)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(corrected))


def _layers(model: Any) -> list[Any]:
    """Operators with weights and biases, in the order of execution."""
    return [
        operator
        for operator in model.subgraphs[0].operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode in _LAYERS
        and len(operator.inputs) == 3
        and operator.inputs[2] >= 0
    ]


def _mean_values(
    model: bytes, indices: Sequence[int], images: Iterable[np.ndarray]
) -> list[np.ndarray]:
    """Mean of each channel of the tensors at `indices`, float64 [channels]."""
    resolvers = tf.lite.experimental.OpResolverType
    interpreter: Any = tf.lite.Interpreter(
        model_content=model,
        num_threads=1,
        experimental_preserve_all_tensors=True,
        # With the delegates, TensorFlow 2.21 warns that intermediate tensors cost memory.
        experimental_op_resolver_type=resolvers.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    (pixels,) = interpreter.get_input_details()
    values: list[list[np.ndarray]] = [[] for _ in indices]
    for image in images:
        interpreter.set_tensor(pixels['index'], image)
        interpreter.invoke()
        for index, means in zip(indices, values, strict=True):
            value = interpreter.get_tensor(index)
            means.append(value.reshape(-1, value.shape[-1]).mean(axis=0, dtype=np.float64))
    return [np.mean(means, axis=0) for means in values]


def _dequantized(model: Any, weights: Any) -> np.ndarray:
    shape = [1] * len(weights.shape)
    shape[weights.quantization.quantizedDimension] = -1
    scales = np.asarray(weights.quantization.scale, np.float64).reshape(shape)
    return _values(model, weights, np.int8) * scales


def _values(model: Any, tensor: Any, dtype: type[np.generic]) -> np.ndarray:
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), dtype).reshape(tensor.shape)
