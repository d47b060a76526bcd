"""Loads a SavedModel, sends the recorded requests, and measures latency and memory.

    python -m components.serving_check.probe MODEL RESULT

writes `Measurements` to the file RESULT. The parent process detects crashes.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from common import features
from common.errors import ModelError
from common.files import MEGABYTE
from components.serving_check.check import size_of
from components.serving_check.measurements import Measurements
from components.serving_check.prediction_comparison import compare, marks_invalid
from components.serving_check.recorded_requests import Outputs, Recorded, read_requests
from trainer.export.image_example import image_of, only_image

_SIGNATURES = (
    features.SIGNATURE_EXAMPLES,
    features.SIGNATURE_IMAGES,
    features.SIGNATURE_EXPLANATION,
    features.SIGNATURE_PIXELS,
)
_NO_IMAGE = b'no image'
_WARM_UP_CALLS = 5
_CALLS, _SECONDS = 100, 1.5  # whichever is reached first
_STATUS = Path('/proc/self/status')


def probe(model: Path) -> Measurements:
    """Checks and measures the SavedModel in a folder, on one core."""
    size = size_of(model)
    _use_one_core()
    before = _memory_mb('VmRSS')
    start = time.perf_counter()
    try:
        recorded = read_requests(model)
        loaded = tf.saved_model.load(str(model))
    except ModelError as error:
        return Measurements(problems=(str(error),), size_mb=size)
    except Exception as error:  # damaged files raise anything
        problem = f'the model cannot be loaded: {_first_line(error)}'
        return Measurements(problems=(problem,), size_mb=size)
    load_seconds = time.perf_counter() - start
    missing = [name for name in _SIGNATURES if name not in loaded.signatures]
    if missing:
        problem = f'the model has no signature {", ".join(missing)}'
        return Measurements(problems=(problem,), size_mb=size, load_seconds=load_seconds)
    results = [_check(loaded.signatures, *each) for each in _checks(recorded)]
    problems = tuple(each.problem for each in results if each.problem)
    latency = None if problems else _latencies_ms(loaded.signatures, recorded)
    peak = _memory_mb('VmHWM')
    return Measurements(
        problems=problems,
        checks=tuple(each.name for each in results if not each.problem),
        largest_difference=max(
            (each.difference for each in results if each.difference is not None), default=None
        ),
        load_seconds=load_seconds,
        latency_ms=None if latency is None else float(np.median(latency)),
        latency_ms_p95=None if latency is None else float(np.percentile(latency, 95)),
        memory_mb=None if before is None or peak is None else peak - before,
        size_mb=size,
    )


def _use_one_core() -> None:
    """Binds the process to one core, before TensorFlow starts its threads."""
    if hasattr(os, 'sched_setaffinity'):  # Linux
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _memory_mb(key: str) -> float | None:
    """Current or peak memory (`VmRSS`, `VmHWM`); None if the system is not Linux.

    `getrusage` would include the parent process, which this one was forked from.
    """
    if not _STATUS.is_file():
        return None
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024 / MEGABYTE


class _Result(NamedTuple):
    name: str
    problem: str | None
    difference: float | None = None


def _check(signatures: Any, name: str, request: Recorded, invalid: list[int]) -> _Result:
    try:
        outputs = _send(signatures, request)
    except Exception as error:  # an unknown graph raises anything
        return _Result(name, f'{name}: failed: {_first_line(error)}')
    valid = [row for row in range(len(request.values)) if row not in invalid]
    valid_outputs = {key: array[valid] for key, array in outputs.items()}
    problem, difference = compare(valid_outputs, request.outputs)
    if not problem and invalid and not marks_invalid(outputs, invalid):
        problem = 'the prediction for an invalid image is not NaN'
    return _Result(name, problem and f'{name}: {problem}', difference)


def _checks(recorded: list[Recorded]) -> Iterator[tuple[str, Recorded, list[int]]]:
    """Yields the name of a check, its request, and the rows with invalid images."""
    most = max(len(request.values) for request in recorded)
    for request in recorded:
        count = len(request.values)
        images = f'{count} image{"s"[: count - 1]}'
        yield f'{request.signature}, {images}', request, []
        if count == most:
            corrupted = dataclasses.replace(request, values=_with_invalid_images(request))
            yield f'{request.signature}, {images} and 2 invalid', corrupted, [0, count + 1]
        if request.signature == features.SIGNATURE_IMAGES and count == 1:
            explained = dataclasses.replace(request, signature=features.SIGNATURE_EXPLANATION)
            yield f'{explained.signature}, {images}', explained, []


def _with_invalid_images(request: Recorded) -> tuple[bytes, ...]:
    """The images of a request between a truncated image and other bytes."""
    is_example = request.signature == features.SIGNATURE_EXAMPLES
    first = image_of(request.values[0]) if is_example else request.values[0]
    truncated, other = first[: len(first) // 2], _NO_IMAGE
    if is_example:
        truncated, other = only_image(truncated), only_image(other)
    return (truncated, *request.values, other)


def _send(signatures: Any, request: Recorded) -> Outputs:
    values = tf.constant(request.values, tf.string)
    outputs = signatures[request.signature](**{request.name: values})
    return {key: value.numpy() for key, value in outputs.items()}


def _latencies_ms(signatures: Any, recorded: list[Recorded]) -> list[float]:
    """CPU time of `serve_images` per image, independent of the load of the machine."""
    images = (each for each in recorded if each.signature == features.SIGNATURE_IMAGES)
    request = min(images, key=lambda each: len(each.values))
    for _ in range(_WARM_UP_CALLS):
        _send(signatures, request)
    latencies: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(latencies) < _CALLS and (not latencies or time.perf_counter() < end):
        start = time.process_time()
        _send(signatures, request)
        latencies.append((time.process_time() - start) * 1000)
    return latencies


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


if __name__ == '__main__':
    Path(sys.argv[2]).write_text(probe(Path(sys.argv[1])).model_dump_json(indent=1))
