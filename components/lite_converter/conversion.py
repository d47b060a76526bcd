"""From a SavedModel to TensorFlow Lite models, and what they answer. Imports no TFX."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import features

_NUMBERS = (features.PROBABILITY, features.LOGIT)


def convert(model: Path, kind: str, representative: np.ndarray) -> bytes:
    """A TensorFlow Lite model with the signature `serve_pixels`, without the name of the class.

    Follows Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference" (CVPR 2018), after training.

    Args:
        model: folder of a SavedModel.
        kind: 'float16': weights in half precision. 'int8': weights and activations in integers,
            with inputs and outputs in float32.
        representative: uint8 [n, size, size, 3], whose activations give int8 its ranges.
    """
    loaded = tf.saved_model.load(str(model))
    serve = loaded.signatures[features.SIGNATURE_PIXELS]
    (spec,) = serve.structured_input_signature[1].values()
    numbers = tf.function(
        lambda pixels: {key: serve(pixels=pixels)[key] for key in _NUMBERS},
        input_signature=[tf.TensorSpec([1, *spec.shape[1:]], tf.float32, features.PIXELS_INPUT)],
        autograph=False,
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [numbers.get_concrete_function()], loaded
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == 'float16':
        converter.target_spec.supported_types = [tf.float16]
    else:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.representative_dataset = lambda: (
            [image[np.newaxis].astype(np.float32)] for image in representative
        )
    with _silent_stderr():
        return bytes(converter.convert())


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """The converter's C++ writes its progress there, whatever the level of logs."""
    kept = os.dup(2)
    with Path(os.devnull).open('w') as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def probabilities(lite: bytes, images: np.ndarray) -> np.ndarray:
    """What a TensorFlow Lite model answers to images, one after the other, on one core.

    Args:
        lite: the model.
        images: uint8 [n, size, size, 3].

    Returns:
        float32 [n, 1] for two classes, [n, classes] for more.
    """
    interpreter: Any = tf.lite.Interpreter(model_content=lite, num_threads=1)
    with _silent_stderr():
        run = interpreter.get_signature_runner()
    answers = [
        run(**{features.PIXELS_INPUT: image[np.newaxis].astype(np.float32)}) for image in images
    ]
    return np.concatenate([answer[features.PROBABILITY] for answer in answers])


def probabilities_of_saved_model(model: Path, images: np.ndarray, batch: int = 64) -> np.ndarray:
    """What the SavedModel answers to the same."""
    serve = tf.saved_model.load(str(model)).signatures[features.SIGNATURE_PIXELS]
    batches = [images[start : start + batch] for start in range(0, len(images), batch)]
    answers = [serve(pixels=tf.cast(each, tf.float32)) for each in batches]
    return np.concatenate([answer[features.PROBABILITY].numpy() for answer in answers])
