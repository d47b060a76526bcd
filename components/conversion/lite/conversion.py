"""Converts a SavedModel to TensorFlow Lite, and runs both."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import console, features
from components.conversion.lite.bias_correction import correct_biases


def convert(model: Path, kind: str, representative: np.ndarray) -> bytes:
    """Post-training quantization of the signature `serve_pixels`, without its class name output.

    Follows Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference" (CVPR 2018). 'float16' has half-precision weights; 'int8'
    has integer weights and activations, corrected biases, and float32 inputs and outputs.
    `representative` are the calibration images for int8, uint8 [n, size, size, 3]. A model of two
    classes has an output `scores` besides, float32 [1, 2].
    """
    loaded = tf.saved_model.load(str(model))
    converter = _converter(loaded)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == 'float16':
        converter.target_spec.supported_types = [tf.float16]
    else:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: ([each] for each in _single(representative))
    with console.silent_stderr():  # it logs its progress at every log level
        quantized = bytes(converter.convert())
        if kind == 'float16':
            return quantized
        original = bytes(_converter(loaded).convert())
        return correct_biases(quantized, original, _single(representative))


def _converter(loaded: Any) -> Any:
    """Returns a converter of a loaded SavedModel, with float32 weights unless set otherwise."""
    serve = loaded.signatures[features.SIGNATURE_PIXELS]
    (spec,) = serve.structured_input_signature[1].values()
    pixels = tf.TensorSpec([1, *spec.shape[1:]], tf.float32, features.PIXELS_INPUT)

    @tf.function(input_signature=[pixels], autograph=False)
    def predict(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        served = serve(pixels=pixels)
        outputs = {key: served[key] for key in (features.PROBABILITY, features.LOGIT)}
        probability = outputs[features.PROBABILITY]
        if probability.shape[-1] == 1:  # readers of the labels expect an entry per class
            outputs[features.SCORES] = tf.concat([1 - probability, probability], axis=-1)
        return outputs

    functions = [predict.get_concrete_function()]
    return tf.lite.TFLiteConverter.from_concrete_functions(functions, loaded)


def probabilities(lite: bytes, images: np.ndarray) -> np.ndarray:
    """Runs a TensorFlow Lite model on images, uint8 [n, size, size, 3], one at a time on one core.

    Returns float32 probabilities: [n, 1] for two classes, [n, classes] for three or more.
    """
    interpreter: Any = tf.lite.Interpreter(model_content=lite, num_threads=1)
    with console.silent_stderr():
        run = interpreter.get_signature_runner()
    outputs = [run(**{features.PIXELS_INPUT: image}) for image in _single(images)]
    return np.concatenate([output[features.PROBABILITY] for output in outputs])


def _single(images: np.ndarray) -> Iterator[np.ndarray]:
    return (image[np.newaxis].astype(np.float32) for image in images)
