"""Runs commands and measures them; reads the results of pipeline runs; names the machine."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

from common import features, stack  # noqa: E402


class Run(NamedTuple):
    """A measured command, and the result that it wrote."""

    seconds: float  # wall time, with imports
    cpu_seconds: float  # of the command and its subprocesses
    peak_mb: float  # of its largest process
    result: dict[str, Any]


def timed(*command: object) -> Run:
    """Runs a Python command and measures it; its standard error is passed through.

    The result is the last line that it prints, if that is a JSON object, else empty.

    Raises:
        SystemExit: the command failed.
    """
    start = time.perf_counter()
    words = [sys.executable, *map(str, command)]
    with tempfile.TemporaryFile('w+') as output:
        process = subprocess.Popen(words, stdout=output, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        lines = output.read().splitlines() or ['']
    if process.returncode not in (0, 3):  # 3: finished and not blessed
        sys.exit(f'{" ".join(words)} ended with {process.returncode}: ' + '\n'.join(lines[-5:]))
    result = json.loads(lines[-1]) if lines[-1].startswith('{') else {}
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, result)


def run_pipeline(workdir: Path, *options: object) -> Run:
    """Runs the pipeline in a new workdir; the result is its record, with the Trainer's timings."""
    run = timed('pipeline_runner.py', 'run', *options, '--workdir', workdir)
    (record,) = workdir.glob('*/runs/*.json')
    (timings,) = workdir.glob('*/artifacts/Trainer/model_run/*/timings.json')
    result = json.loads(record.read_text()) | {'trainer': json.loads(timings.read_text())}
    return run._replace(result=result)


def ingested_images(workdir: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yields split, class and encoded image of each record of a pipeline run."""
    import tensorflow as tf

    for split in features.SPLITS:
        files = workdir.glob(f'*/artifacts/ImageExampleGen/examples/*/span-*/Split-{split}/*')
        for record in tf.data.TFRecordDataset(sorted(map(str, files))).as_numpy_iterator():
            found = tf.train.Example.FromString(record).features.feature
            (class_name,) = found[features.CLASS_NAME].bytes_list.value
            (contents,) = found[features.IMAGE_BYTES].bytes_list.value
            yield split, class_name.decode(), contents


def machine() -> str:
    """Processor, number of cores, and versions of Python and TensorFlow."""
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    name = next(line.split(':')[1].strip() for line in lines if line.startswith('model name'))
    return f'{os.cpu_count()} cores of {name}, {stack.describe()}'
