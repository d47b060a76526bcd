"""Converts a SavedModel to TensorFlow Lite or ONNX, and runs the result.

Every format takes `pixels`, float32 [batch, size, size, 3] in 0..255, as the signature
`serve_pixels` does, and has one output, `scores`: the probability of each class, float32
[batch, classes]. TensorFlow Lite takes one image at a time. The packages of the extra `onnx` are
optional.
"""

import concurrent.futures
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from common import console, features
from components.conversion.converter_config import FILES, LABELS_FILE, Format
from components.inference.classifier import Classifier

_OPSET = 17  # of ONNX 1.12, which runtimes since 2022 read
_BATCH = 'batch'  # name of the first dimension in ONNX

_Score = Callable[[np.ndarray], np.ndarray]  # float32 [1, size, size, 3] to [1, classes]


def write_models(
    classifier: Classifier,
    kinds: Sequence[Format],
    calibration: np.ndarray | None,
    folder: Path,
) -> None:
    """Writes a model per format, and the class names in the order of their labels.

    `calibration` are the images that int8 needs, uint8 [n, size, size, 3].
    """
    for kind in kinds:
        is_onnx = kind == 'onnx'
        contents = _to_onnx(classifier) if is_onnx else _to_lite(classifier, kind, calibration)
        (folder / FILES[kind]).write_bytes(contents)
    write_labels(classifier.classes, folder)


def write_labels(classes: Sequence[str], folder: Path) -> None:
    """Writes the class names, in the order of their labels, one per line."""
    (folder / LABELS_FILE).write_text(''.join(f'{name}\n' for name in classes), encoding='utf-8')


def scores_of(kind: Format, contents: bytes, images: np.ndarray) -> tuple[np.ndarray, float]:
    """Runs a converted model on images, one at a time on each core.

    Takes uint8 [n, size, size, 3]. Returns scores, float32 [n, classes], and the seconds of CPU
    time for an image, which do not depend on the load of the machine.
    """

    def run(score: _Score, part: np.ndarray) -> tuple[np.ndarray, float]:
        start = time.thread_time()
        scores = [score(image[np.newaxis].astype(np.float32)) for image in part]
        return np.concatenate(scores), time.thread_time() - start

    parts = np.array_split(images, min(len(os.sched_getaffinity(0)), len(images)))
    opened = [_open_onnx(contents) if kind == 'onnx' else _open_lite(contents) for _ in parts]
    with concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
        scores, seconds = zip(*pool.map(run, opened, parts), strict=True)
    return np.concatenate(scores), sum(seconds) / len(images)


def _to_lite(classifier: Classifier, kind: Format, calibration: np.ndarray | None) -> bytes:
    """Post-training quantization.

    Follows Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference" (CVPR 2018). `float16` has half-precision weights; `int8`
    has integer weights and activations, and float32 inputs and outputs.
    """
    function = _traced(classifier, batch=1).get_concrete_function()
    converter: Any = tf.lite.TFLiteConverter.from_concrete_functions([function], classifier.model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == 'float16':
        converter.target_spec.supported_types = [tf.float16]
    else:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        assert calibration is not None
        batches = [each[np.newaxis].astype(np.float32) for each in calibration]
        converter.representative_dataset = lambda: ([each] for each in batches)
    with console.silent_stderr():  # it logs its progress at every log level
        return bytes(converter.convert())


def _to_onnx(classifier: Classifier) -> bytes:
    import onnx
    import tf2onnx

    score = _traced(classifier, batch=None).get_concrete_function()
    # Constants outside of the function, as of preprocess_input, would be inputs of the ONNX graph.
    frozen = convert_variables_to_constants_v2(score, lower_control_flow=False)
    ends = {frozen.inputs[0].name: features.PIXELS_INPUT, frozen.outputs[0].name: features.SCORES}
    converted, _ = tf2onnx.convert.from_graph_def(
        frozen.graph.as_graph_def(),
        input_names=[frozen.inputs[0].name],
        output_names=[frozen.outputs[0].name],
        opset=_OPSET,
        tensors_to_rename=ends,
    )
    for value in (*converted.graph.input, *converted.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
    onnx.checker.check_model(converted, full_check=True)
    return bytes(converted.SerializeToString())


def _traced(classifier: Classifier, batch: int | None) -> tf.types.experimental.PolymorphicFunction:
    """The function from `pixels` to `scores` for a fixed or any number of images."""
    serve, size = classifier.signature(features.SIGNATURE_PIXELS), classifier.image_size
    pixels = tf.TensorSpec([batch, size, size, 3], tf.float32, features.PIXELS_INPUT)

    @tf.function(input_signature=[pixels], autograph=False)
    def score(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
        probability = serve(pixels=pixels)[features.PROBABILITY]
        if probability.shape[-1] == 1:  # of the second of two classes
            probability = tf.concat([1 - probability, probability], axis=-1)
        return {features.SCORES: probability}

    return score


def _open_lite(contents: bytes) -> _Score:
    interpreter: Any = tf.lite.Interpreter(model_content=contents, num_threads=1)
    with console.silent_stderr():
        run = interpreter.get_signature_runner()
    return lambda pixels: run(**{features.PIXELS_INPUT: pixels})[features.SCORES]


def _open_onnx(contents: bytes) -> _Score:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(contents, options, providers=['CPUExecutionProvider'])
    return lambda pixels: session.run([features.SCORES], {features.PIXELS_INPUT: pixels})[0]
