"""Converts a SavedModel to ONNX, and runs it. The packages of the extra `onnx` are optional."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import features

_OPSET = 17  # of ONNX 1.12, which runtimes since 2022 read
_OUTPUTS = (features.PROBABILITY, features.LOGIT)
_BATCH = 'batch'  # name of the first dimension


def convert(model: Path, classes: Sequence[str]) -> bytes:
    """Converts the signature `serve_pixels`, without its class name output.

    The input `pixels` is float32 [batch, size, size, 3] in 0..255. The properties of the model
    (`metadata_props`) have `classes`, names in the order of their labels as JSON.
    """
    import onnx
    import tf2onnx

    loaded = tf.saved_model.load(str(model))  # a signature does not keep its variables
    serve = loaded.signatures[features.SIGNATURE_PIXELS]
    (spec,) = serve.structured_input_signature[1].values()
    pixels = tf.TensorSpec([None, *spec.shape[1:]], tf.float32, features.PIXELS_INPUT)

    @tf.function(input_signature=[pixels], autograph=False)
    def predict(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        served = serve(pixels=pixels)
        return {key: served[key] for key in _OUTPUTS}

    converted, _ = tf2onnx.convert.from_function(predict, input_signature=[pixels], opset=_OPSET)
    for value in (*converted.graph.input, *converted.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
    onnx.helper.set_model_props(converted, {'classes': json.dumps(list(classes))})
    onnx.checker.check_model(converted, full_check=True)
    return bytes(converted.SerializeToString())


def probabilities(contents: bytes, images: np.ndarray) -> np.ndarray:
    """Runs an ONNX model on images, uint8 [n, size, size, 3], one at a time on one core.

    Returns float32 probabilities: [n, 1] for two classes, [n, classes] for three or more.
    """
    session = _open(contents)
    outputs = [
        session.run([features.PROBABILITY], {features.PIXELS_INPUT: image[None].astype(np.float32)})
        for image in images
    ]
    return np.concatenate([probability for (probability,) in outputs])


def _open(contents: bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(contents, options, providers=['CPUExecutionProvider'])
