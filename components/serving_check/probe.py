"""Loads a SavedModel in a process of its own, asks it, and measures. Imports no TFX.

    python -m components.serving_check.probe MODEL RESULT

writes `Measurements` to the file RESULT. What kills it is seen by who has started it.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from common import features
from common.errors import ModelError
from common.files import MEGABYTE
from components.serving_check.check import size_of
from components.serving_check.measurements import Measurements
from components.serving_check.prediction_comparison import compare, unanswered
from components.serving_check.recorded_requests import Answer, Recorded, read_requests
from trainer.export.image_example import image_of, only_image

_SIGNATURES = (
    features.SIGNATURE_EXAMPLES,
    features.SIGNATURE_IMAGES,
    features.SIGNATURE_EXPLANATION,
    features.SIGNATURE_PIXELS,
)
_NO_IMAGE = b'no image'
_FIRST_CALLS = 5  # left out: buffers are made, and code is chosen
_CALLS, _SECONDS = 100, 1.5  # whichever is reached first
_STATUS = Path('/proc/self/status')


@dataclasses.dataclass
class _Found:
    """What is known so far; becomes Measurements."""

    size_mb: float
    problems: list[str] = dataclasses.field(default_factory=list)
    checks: list[str] = dataclasses.field(default_factory=list)
    differences: list[float] = dataclasses.field(default_factory=list)
    measured: dict[str, float | None] = dataclasses.field(default_factory=dict)

    def note(self, what: str, problem: str | None) -> None:
        if problem:
            self.problems.append(f'{what}: {problem}')
        else:
            self.checks.append(what)

    def result(self) -> Measurements:
        return Measurements(
            problems=tuple(self.problems),
            checks=tuple(self.checks),
            largest_difference=max(self.differences, default=None),
            size_mb=self.size_mb,
            **self.measured,
        )


def probe(model: Path) -> Measurements:
    """What is found of the SavedModel in a folder, on one core."""
    found = _Found(size_of(model))
    _keep_to_one_core()
    before = _memory_mb('VmRSS')
    start = time.perf_counter()
    try:
        recorded = read_requests(model)
        loaded = tf.saved_model.load(str(model))
    except ModelError as error:
        found.problems.append(str(error))
        return found.result()
    except Exception as error:  # whatever is wrong with files that come from anywhere
        found.problems.append(f'it cannot be loaded: {_first_line(error)}')
        return found.result()
    found.measured['load_seconds'] = time.perf_counter() - start
    missing = [name for name in _SIGNATURES if name not in loaded.signatures]
    if missing:
        found.problems.append(f'it has no signature {", ".join(missing)}')
        return found.result()
    _ask_all(loaded.signatures, recorded, found)
    if not found.problems:
        _measure_latency(loaded.signatures, recorded, found)
    peak = _memory_mb('VmHWM')
    found.measured['memory_mb'] = None if before is None or peak is None else peak - before
    return found.result()


def _keep_to_one_core() -> None:
    """Before TensorFlow makes its threads, which keep to it too."""
    if hasattr(os, 'sched_setaffinity'):  # Linux
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def _memory_mb(key: str) -> float | None:
    """Memory now or at most (`VmRSS`, `VmHWM`); None where Linux does not say.

    Not `getrusage`: it counts what the process held that this one was forked from.
    """
    if not _STATUS.is_file():
        return None
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024 / MEGABYTE


def _ask_all(signatures: Any, recorded: list[Recorded], found: _Found) -> None:
    for what, request, bad in _questions(recorded):
        try:
            answer = _ask(signatures, request)
        except Exception as error:  # of a graph that comes from anywhere
            found.note(what, f'refused: {_first_line(error)}')
            continue
        good = [row for row in range(len(request.values)) if row not in bad]
        answer_to_good = {key: array[good] for key, array in answer.items()}
        problem, difference = compare(answer_to_good, request.answer)
        if not problem and bad and not unanswered(answer, bad):
            problem = 'what is no image gets an answer'
        found.note(what, problem)
        found.differences += [] if difference is None else [difference]


def _questions(recorded: list[Recorded]) -> Iterator[tuple[str, Recorded, list[int]]]:
    """What is asked, in words and as a request, and which of its rows are no images."""
    most = max(len(request.values) for request in recorded)
    for request in recorded:
        count = len(request.values)
        images = f'{count} image{"s"[: count - 1]}'
        yield f'{request.signature} answers {images} as the Trainer does', request, []
        if count == most:
            spoilt = dataclasses.replace(request, values=_spoilt(request))
            words = f'{request.signature} answers {images} beside two that are none'
            yield words, spoilt, [0, count + 1]
        if request.signature == features.SIGNATURE_IMAGES and count == 1:
            explained = dataclasses.replace(request, signature=features.SIGNATURE_EXPLANATION)
            yield f'{explained.signature} answers {images}', explained, []


def _spoilt(request: Recorded) -> tuple[bytes, ...]:
    """The same images between one that is cut and one that never was an image."""
    is_example = request.signature == features.SIGNATURE_EXAMPLES
    first = image_of(request.values[0]) if is_example else request.values[0]
    cut, none = first[: len(first) // 2], _NO_IMAGE
    if is_example:
        cut, none = only_image(cut), only_image(none)
    return (cut, *request.values, none)


def _ask(signatures: Any, request: Recorded) -> Answer:
    values = tf.constant(request.values, tf.string)
    answer = signatures[request.signature](**{request.name: values})
    return {key: value.numpy() for key, value in answer.items()}


def _measure_latency(signatures: Any, recorded: list[Recorded], found: _Found) -> None:
    """Of one image by its bytes, from the call to the answer.

    Counted is what the core works for it: the waits for other processes on a busy machine say
    nothing about the model.
    """
    images = (each for each in recorded if each.signature == features.SIGNATURE_IMAGES)
    request = min(images, key=lambda each: len(each.values))
    for _ in range(_FIRST_CALLS):
        _ask(signatures, request)
    seconds: list[float] = []
    end = time.perf_counter() + _SECONDS
    while len(seconds) < _CALLS and (not seconds or time.perf_counter() < end):
        start = time.process_time()
        _ask(signatures, request)
        seconds.append(time.process_time() - start)
    found.measured['latency_ms'] = float(np.median(seconds)) * 1000
    found.measured['latency_ms_p95'] = float(np.percentile(seconds, 95)) * 1000


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


if __name__ == '__main__':
    Path(sys.argv[2]).write_text(probe(Path(sys.argv[1])).model_dump_json(indent=1))
