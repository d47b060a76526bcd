"""Loads a SavedModel, sends the recorded requests, and measures latency and memory.

    python -m components.serving_check.probe MODEL RESULT

writes `Measurements` to the file RESULT. The parent process detects crashes.
"""

import os
import sys

if __name__ == '__main__':
    # TensorFlow imports these if they are installed, in one second; serving a model needs neither.
    for name in ('keras', 'googleapiclient'):
        sys.modules[name] = None  # type: ignore[assignment]

import time
import timeit
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import features
from common.errors import ModelError
from common.files import MEGABYTE
from components.serving_check.measurements import Measurements, size_of
from components.serving_check.recorded_requests import Outputs, Request, compare, read_requests
from trainer.export.complete_image import PIXEL
from trainer.export.image_example import image_of, only_image

_SIGNATURES = (
    features.SIGNATURE_EXAMPLES,
    features.SIGNATURE_IMAGES,
    features.SIGNATURE_EXPLANATION,
    features.SIGNATURE_PIXELS,
)
_CALLS = 30
_DAMAGED = PIXEL.replace(b'IDATx', b'IDAT?')  # complete, with wrong compressed data


def probe(model: Path) -> Measurements:
    """Checks and measures the SavedModel in a folder, on one core."""
    size = size_of(model)
    use_one_core()
    before, start = _memory_mb('VmRSS'), time.perf_counter()
    try:
        recorded = read_requests(model)
        loaded = _load(model)
    except ModelError as error:
        return Measurements(problems=(str(error),), size_mb=size)
    load_seconds = time.perf_counter() - start
    problems: list[str] = []
    differences: dict[str, float] = {}
    for name, request in _checks(recorded):
        try:
            differences[name] = compare(_send(loaded.signatures, request), request.outputs)
        except ModelError as error:
            problems.append(f'{name}: {error}')
        except Exception as error:  # an unknown graph raises anything
            problems.append(f'{name}: failed: {_first_line(error)}')
    median, p95 = (None, None) if problems else _latencies_ms(loaded.signatures, recorded)
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


def use_one_core() -> None:
    """Binds the process to one core, before TensorFlow starts its threads."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _memory_mb(key: str) -> float:
    """Current or peak memory (`VmRSS`, `VmHWM`).

    `getrusage` would include the parent process, which this one was forked from.
    """
    status = Path('/proc/self/status').read_text()
    return int(status.partition(f'{key}:')[2].split()[0]) * 1024 / MEGABYTE


def _load(model: Path) -> Any:
    try:
        loaded = tf.saved_model.load(str(model))
    except Exception as error:  # damaged files raise anything
        raise ModelError(f'the model cannot be loaded: {_first_line(error)}') from error
    missing = [name for name in _SIGNATURES if name not in loaded.signatures]
    if missing:
        raise ModelError(f'the model has no signature {", ".join(missing)}')
    return loaded


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
    outputs = {
        key: np.pad(
            rows,
            ((1, len(last)), (0, 0)),
            constant_values=b'' if key == features.CLASS else np.nan,
        )
        for key, rows in request.outputs.items()
    }
    return request._replace(values=(first, *request.values, *last), outputs=outputs)


def _send(signatures: Any, request: Request) -> Outputs:
    values = {request.input_name: tf.constant(request.values, tf.string)}
    return {key: value.numpy() for key, value in signatures[request.signature](**values).items()}


def _latencies_ms(signatures: Any, recorded: list[Request]) -> tuple[float, float]:
    """Median and 95th percentile of the CPU time of `serve_images` for one image.

    The checks before have warmed it up. CPU time is independent of the load of the machine.
    """
    requests = [each for each in recorded if each.signature == features.SIGNATURE_IMAGES]
    request = min(requests, key=lambda each: len(each.values))
    seconds = timeit.repeat(
        lambda: _send(signatures, request), timer=time.process_time, number=1, repeat=_CALLS
    )
    median, p95 = np.percentile(seconds, (50, 95)) * 1000
    return float(median), float(p95)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


if __name__ == '__main__':
    Path(sys.argv[2]).write_text(probe(Path(sys.argv[1])).model_dump_json(indent=1))
