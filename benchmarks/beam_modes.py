"""Compares Beam's in-memory runner with one process per core, for each Beam component.

Usage: beam_modes.py [IMAGES ...]. The images repeat 64 JPEGs of about 20 KB with different names
and digests. Each component runs in a subprocess. Its seconds exclude the imports of that process;
its memory is the sum of all of its processes. On a shared machine, compare CPU seconds.
"""

import dataclasses
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from timed_commands import DEMO, ROOT, machine, overrides, timed

IMAGES = (2_000, 60_000, 120_000)
MODES = ('in_memory', 'multi_processing')
COMPONENTS = ('StatisticsGen', 'Transform', 'Evaluator')
SPLITS = ('train', 'train', 'train', 'eval', 'test')  # assigned to the files in turn
PER_FILE = 400
MODEL: dict[str, object] = {
    'data.count': 300,
    'trainer.image_size': 160,
    'trainer.alpha': 1.0,
    'trainer.weights': 'random',
    'trainer.feature_extraction.epochs': 1,
    'trainer.fine_tune.epochs': 0,
    'evaluation.baseline_accuracy': 0.0,
}


@dataclasses.dataclass(frozen=True)
class Cost:
    """Wall seconds, CPU seconds (total, and of the workers) and peak memory in MB."""

    seconds: float
    cpu: float
    workers_cpu: float
    peak_mb: float


Results = dict[tuple[int, str], list[Cost]]


def main(sizes: tuple[int, ...]) -> None:
    console = Console(highlight=False, width=140)
    console.print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        timed(*DEMO, '--workdir', folder / 'model', *overrides(MODEL))
        files = write_records(folder / 'records', max(sizes))
        results: Results = {}
        for size in sizes:
            link_records(folder / str(size), files[: size // PER_FILE])
            for mode in MODES:
                results[size, mode] = [measure(each, folder, size, mode) for each in COMPONENTS]
            console.print(size_table(size, results))
    console.print(crossing(sizes, results))


def write_records(folder: Path, images: int) -> list[Path]:
    """Writes TFRecord files of canonical examples; each file belongs to one split."""
    import tensorflow as tf

    from components.image_example_gen.ingestion.transforms import to_example
    from components.image_example_gen.inspection.check_config import CheckConfig
    from components.image_example_gen.inspection.examine import examine
    from components.image_example_gen.sources.base.source import LabelledImage

    folder.mkdir()
    examples = []
    for n, (contents, label) in enumerate(jpegs()):
        image, good = LabelledImage(contents, label, f'{n}.jpg'), examine(contents, CheckConfig())
        examples.append(to_example(image, good, '', ('cat', 'dog')))
    files = []
    for number in range(images // PER_FILE):
        split = SPLITS[number % len(SPLITS)]
        files.append(folder / f'{split}-{number:05d}.tfrecord')
        with tf.io.TFRecordWriter(str(files[-1])) as writer:
            for each in range(PER_FILE):
                example = examples[each % len(examples)]
                name = f'{number}-{each}.jpg'.encode()
                example.features.feature['image/filename'].bytes_list.value[:] = [name]
                digest = f'{number * PER_FILE + each:064x}'.encode()
                example.features.feature['image/key/sha256'].bytes_list.value[:] = [digest]
                writer.write(example.SerializeToString())
    return files


def jpegs() -> Iterator[tuple[bytes, int]]:
    """Blurred noise with grain, 320x240 pixels, about 20 KB each like small photographs."""
    import PIL.Image

    random = np.random.default_rng(0)
    for number in range(64):
        label = number % 2
        rough = random.normal(100 + 50 * label, 60, (12, 16, 3)).clip(0, 255).astype(np.uint8)
        smooth = np.asarray(
            PIL.Image.fromarray(rough).resize((320, 240), PIL.Image.Resampling.BICUBIC)
        )
        pixels = (smooth + random.normal(0, 9, smooth.shape)).clip(0, 255).astype(np.uint8)
        file = io.BytesIO()
        PIL.Image.fromarray(pixels).save(file, 'JPEG', quality=85)
        yield file.getvalue(), label


def link_records(folder: Path, files: list[Path]) -> None:
    for file in files:
        split = folder / 'examples' / f'Split-{file.name.partition("-")[0]}'
        split.mkdir(parents=True, exist_ok=True)
        (split / file.name).symlink_to(file)


def measure(component: str, folder: Path, images: int, mode: str) -> Cost:
    """Runs a component in a subprocess and samples its memory."""
    command = [sys.executable, __file__, 'component', component, str(folder), str(images), mode]
    peak = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(0.5)  # sampling costs CPU as well
        output, _ = process.communicate()
    if process.returncode:
        sys.exit(f'{component} with {mode} failed')
    seconds, cpu, workers_cpu = json.loads(output.splitlines()[-1])
    return Cost(seconds, cpu, workers_cpu, peak)


def memory(pid: int) -> float:
    """Proportional set size of a process and its children, in MB."""
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            total += process.memory_full_info().pss
    except psutil.NoSuchProcess:  # ended in the meantime
        pass
    return total / 2**20


def run_component(name: str, folder: Path, images: int, mode: str) -> tuple[float, float, float]:
    """Runs a component's executor with the pipeline's configuration.

    Returns:
        Wall seconds, CPU seconds, and CPU seconds of the workers.
    """
    from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor

    from pipeline.config.beam import BeamConfig, beam_args
    from pipeline.config.recipe import load_recipe
    from pipeline.graph import create_pipeline

    home = folder / str(images)
    changes = [('workdir', str(home)), *MODEL.items()]
    pipeline = create_pipeline(load_recipe('demo', changes), ('cat', 'dog'), images)
    component = {each.id: each for each in pipeline.components}[name]
    context = BaseBeamExecutor.Context(
        beam_pipeline_args=beam_args(BeamConfig(runner=mode), images),
        tmp_dir=str(home / mode / 'tmp' / name),
        unique_id='1',
    )
    executor = component.executor_spec.executor_class(context)
    inputs = {key: [artifact] for key, artifact in input_artifacts(component, folder, home)}
    outputs = {}
    for key, channel in component.outputs.items():
        outputs[key] = [channel.type()]
        outputs[key][0].uri = str(home / mode / name / key)
    start, own, workers = time.perf_counter(), *cpu_seconds()
    executor.Do(inputs, outputs, dict(component.exec_properties))
    own_after, workers_after = cpu_seconds()
    workers = workers_after - workers
    return time.perf_counter() - start, own_after - own + workers, workers


def cpu_seconds() -> tuple[float, float]:
    """CPU seconds of this process, and of its workers that have ended."""
    own, workers = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime, workers.ru_utime + workers.ru_stime


def input_artifacts(component: Any, folder: Path, home: Path) -> Iterator[tuple[str, Any]]:
    """Input artifacts of a component: the examples, and the model and schema of a small run."""
    for key, channel in component.inputs.items():
        artifact = channel.type()
        if key == 'examples':
            artifact.uri = str(home / 'examples')
            artifact.split_names = json.dumps(['train', 'eval', 'test'])
            artifact.set_string_custom_property('payload_format', 'FORMAT_TF_EXAMPLE')
        elif key in ('model', 'schema'):
            (found,) = folder.glob(f'model/demo/artifacts/*/{key}/*')
            artifact.uri = str(found)
        else:  # without a baseline model
            continue
        yield key, artifact


def size_table(size: int, results: Results) -> Table:
    """Cost of each component in both modes."""
    units = ('s', 'CPU s', 'of workers', 'MB')
    headings = [f'{mode}: {unit}' for mode in ('memory', 'processes') for unit in units]
    table = Table(f'{size:,} images', *headings)
    columns = [[*results[size, mode], total(results[size, mode])] for mode in MODES]
    for name, *costs in zip((*COMPONENTS, 'total'), *columns, strict=True):
        numbers = (value for cost in costs for value in dataclasses.astuple(cost))
        table.add_row(name, *(f'{value:.0f}' for value in numbers))
    return table


def total(costs: list[Cost]) -> Cost:
    """Sum of the seconds, maximum of the memory."""
    seconds, cpu, workers_cpu, peaks = zip(*map(dataclasses.astuple, costs), strict=True)
    return Cost(sum(seconds), sum(cpu), sum(workers_cpu), max(peaks))


def crossing(sizes: tuple[int, ...], results: Results) -> str:
    """Number of images from which multi-processing is faster, by linear interpolation."""
    totals = [[total(results[size, mode]).seconds for mode in MODES] for size in sizes]
    lost = [processes - alone for alone, processes in totals]
    for number in range(len(sizes) - 1):
        if lost[number] > 0 >= lost[number + 1]:
            share = lost[number] / (lost[number] - lost[number + 1])
            images = sizes[number] + share * (sizes[number + 1] - sizes[number])
            return f'multi-processing is faster from {images:,.0f} images on'
    return f'no crossing: multi-processing adds {", ".join(f"{each:+.1f} s" for each in lost)}'


if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:2] == ['component']:
        _, _, name, folder, images, mode = sys.argv
        print(json.dumps(run_component(name, Path(folder), int(images), mode)))
    else:
        main(tuple(int(word) for word in sys.argv[1:]) or IMAGES)
