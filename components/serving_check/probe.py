"""Loads a SavedModel, sends the recorded requests, and measures latency and memory on one core.

    python -m components.serving_check.probe MODEL

prints `Measurements` as JSON on the last line. The parent process detects crashes.
"""

import os
import sys

if __name__ == '__main__':
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # TensorFlow starts a thread per core
    # TensorFlow imports these if they are installed, in one second; serving a model needs neither.
    for name in ('keras', 'googleapiclient'):
        sys.modules[name] = None  # type: ignore[assignment]

import time
import timeit
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from common import features
from common.errors import ModelError
from common.files import MEGABYTE
from components.inference.classifier import Classifier
from components.serving_check.measurements import Measurements, size_of
from trainer.export.complete_image import PIXEL
from trainer.export.image_example import image_of, only_image

TOLERANCE = 1e-5
_CALLS = 30
_DAMAGED = PIXEL.replace(b'IDATx', b'IDAT?')  # complete, with wrong compressed data

Outputs = dict[str, np.ndarray]


class Request(NamedTuple):
    """A recorded request and its response, one row per image."""

    signature: str
    values: tuple[bytes, ...]
    outputs: Outputs


def probe(model: Path) -> Measurements:
    """Checks and measures the SavedModel in a folder."""
    size, before, start = size_of(model), _memory_mb('VmRSS'), time.perf_counter()
    try:
        recorded, classifier = read_requests(model), Classifier(model)
        load_seconds = time.perf_counter() - start
        assert classifier.image_size  # raises without the signature for pixels
    except Exception as error:  # damaged files raise anything
        return Measurements(problems=(_first_line(error),), size_mb=size)
    problems: list[str] = []
    differences: dict[str, float] = {}
    for name, (signature, values, expected) in _checks(recorded):
        try:
            differences[name] = difference(classifier.outputs(signature, values), expected)
        except Exception as error:  # an unknown graph raises anything
            problems.append(f'{name}: {_first_line(error)}')
    median, p95 = (None, None) if problems else _latencies_ms(classifier, recorded)
    return Measurements(
        problems=tuple(problems),
        checks=tuple(differences),
        largest_difference=max(differences.values(), default=None),
        load_seconds=load_seconds,
        latency_ms=median,
        latency_ms_p95=p95,
        memory_mb=_memory_mb('VmHWM') - before,
        size_mb=size,
    )


def read_requests(model: Path) -> list[Request]:
    """Reads TensorFlow Serving's warm-up file of a SavedModel.

    Raises:
        ModelError: the file is missing, damaged or empty.
    """
    requests = []
    try:
        records = tf.data.TFRecordDataset(str(model / features.WARMUP_FILE)).as_numpy_iterator()
        for log in map(prediction_log_pb2.PredictionLog.FromString, records):
            request, response = log.predict_log.request, log.predict_log.response
            (images,) = map(tf.make_ndarray, request.inputs.values())
            outputs = {key: tf.make_ndarray(value) for key, value in response.outputs.items()}
            requests.append(Request(request.model_spec.signature_name, tuple(images), outputs))
    except (tf.errors.OpError, DecodeError):
        requests = []
    if not requests:
        problem = 'the recorded requests are missing, empty or damaged'
        raise ModelError(f'{problem} ({features.WARMUP_FILE})')
    return requests


def _checks(recorded: list[Request]) -> Iterator[tuple[str, Request]]:
    """Yields the name and the request of each check."""
    most = max(len(request.values) for request in recorded)
    for request in recorded:
        count = len(request.values)
        images = f'{count} image{"s"[: count - 1]}'
        yield f'{request.signature}, {images}', request
        if count == most:
            yield f'{request.signature}, {images} and 3 invalid', _with_invalid_images(request)
        if request.signature == features.SIGNATURE_IMAGES and count == 1:
            explained = request._replace(signature=features.SIGNATURE_EXPLANATION)
            yield f'{explained.signature}, {images}', explained


def _with_invalid_images(request: Request) -> Request:
    """Adds a truncated image before the images of a request, and a damaged one and text after."""
    is_example = request.signature == features.SIGNATURE_EXAMPLES
    image = image_of(request.values[0]) if is_example else request.values[0]
    added = [image[: len(image) // 2], _DAMAGED, b'no image']
    first, *last = map(only_image, added) if is_example else added
    outputs = {}
    for key, rows in request.outputs.items():
        invalid = b'' if key == features.CLASS else np.nan
        outputs[key] = np.pad(rows, ((1, len(last)), (0, 0)), constant_values=invalid)
    return request._replace(values=(first, *request.values, *last), outputs=outputs)


def difference(actual: Outputs, expected: Outputs) -> float:
    """Returns the largest difference of predictions, one row per image.

    Probabilities may differ by 1e-5. Logits may differ by 1e-5 times the largest expected logit if
    that is above 1, because they are unbounded and float32 has seven digits. Those of an invalid
    image are NaN, and its class is empty.

    Raises:
        ModelError: the predictions differ, or an output is missing.
    """
    if missing := expected.keys() - actual.keys():
        raise ModelError(f'the output {min(missing)} is missing')
    if not np.array_equal(actual[features.CLASS], expected[features.CLASS]):
        raise ModelError("predicted classes differ from the Trainer's")
    valid, largest = expected[features.CLASS] != b'', 0.0
    for key in (features.PROBABILITY, features.LOGIT):
        found, wanted = actual[key], expected[key]
        if found.shape != wanted.shape or (np.isfinite([found, wanted]) != valid).any():
            raise ModelError(f'the output {key} has another shape, or NaN for other images')
        scale = max(1.0, float(np.nanmax(np.abs(wanted))))  # 1 for probabilities
        largest = max(largest, float(np.nanmax(np.abs(found - wanted))) / scale)
    if largest > TOLERANCE:
        raise ModelError(f"predictions differ from the Trainer's by up to {largest:.2g}")
    return largest


def _latencies_ms(classifier: Classifier, recorded: list[Request]) -> tuple[float, float]:
    """Median and 95th percentile of the CPU time of `serve_images` for one image.

    The checks before have warmed it up. CPU time is independent of the load of the machine.
    """
    requests = [each for each in recorded if each.signature == features.SIGNATURE_IMAGES]
    signature, values, _ = min(requests, key=lambda each: len(each.values))
    seconds = timeit.repeat(
        lambda: classifier.outputs(signature, values),
        timer=time.process_time,
        number=1,
        repeat=_CALLS,
    )
    median, p95 = np.percentile(seconds, (50, 95)) * 1000
    return float(median), float(p95)


def _memory_mb(key: str) -> float:
    """Current or peak memory (`VmRSS`, `VmHWM`).

    `getrusage` would include the parent process, which this one was forked from.
    """
    status = Path('/proc/self/status').read_text()
    return int(status.partition(f'{key}:')[2].split()[0]) * 1024 / MEGABYTE


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


if __name__ == '__main__':
    print(probe(Path(sys.argv[1])).model_dump_json())  # noqa: T201
