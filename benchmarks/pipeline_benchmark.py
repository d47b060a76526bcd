"""Compares the pipeline with a plain Keras script of the same recipe, alternating, on equal splits.

Usage: make benchmark ARGS="--recipe NAME --seeds N". Photographs are read from CATDOG_DATA (a
folder with cats_and_dogs/ and weights/*.h5) if it is set; otherwise the demo's drawings are used.
"""

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from components.image_example_gen.sources.factory import make_source  # noqa: E402
from pipeline.config.recipe import Recipe, load_recipe  # noqa: E402
from trainer.model.weights import weights_file  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Run:
    """Wall seconds of a command, peak memory in MB of its largest process, last line printed."""

    seconds: float
    peak_mb: float
    last_line: str


def timed(*command: object) -> Run:
    """Runs a Python command and measures it; its standard error is passed through.

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
    return Run(seconds, usage.ru_maxrss / 1024, lines[-1])


def overrides(changes: dict[str, object]) -> list[str]:
    """Options `--set key=value` of the command line."""
    return [word for key, value in changes.items() for word in ('--set', f'{key}={value}')]


def write_image_folders(recipe: Recipe, folder: Path) -> None:
    """Writes the images of a recipe's source as files, in the pipeline's splits."""
    import apache_beam as beam

    from components.image_example_gen.ingestion.span import ingest_span

    source = make_source(recipe.data)
    with tempfile.TemporaryDirectory() as name:
        records = Path(name, 'records')
        ingest_span(source, recipe.data, [], records, Path(name, 'quarantine'), beam.Pipeline)
        write_images(records, folder)


def write_images(records: Path, folder: Path) -> None:
    """Writes ingested images as files: a folder per split, and in it one per class."""
    import tensorflow as tf

    from common import features
    from components.image_example_gen.ingestion.records import read_records

    for split in features.SPLITS:
        files = sorted(records.glob(f'Split-{split}/*'))
        for number, record in enumerate(read_records(files)):
            found = tf.train.Example.FromString(record).features.feature
            (class_name,) = found[features.CLASS_NAME].bytes_list.value
            target = folder / split / class_name.decode()
            target.mkdir(parents=True, exist_ok=True)
            (contents,) = found[features.IMAGE_BYTES].bytes_list.value
            (target / f'{number:06d}.jpg').write_bytes(contents)


def run_pipeline(options: list[str], seed: int, workdir: Path) -> tuple[Run, dict[str, Any]]:
    """Runs the pipeline in a new workdir; returns its summary with the Trainer's timings too."""
    run = timed(
        'pipeline_runner.py', 'run', *options, '--workdir', workdir, '--set', f'trainer.seed={seed}'
    )
    (summary_file,) = workdir.glob('*/last_run.json')
    (timings_file,) = workdir.glob('*/artifacts/Trainer/model_run/*/timings.json')
    summary = json.loads(summary_file.read_text())
    return run, {**summary, 'trainer': json.loads(timings_file.read_text())}


def find_photographs(data: str | None) -> tuple[Path, Path]:
    """Folder of photographs and file of weights in CATDOG_DATA.

    Raises:
        SystemExit: CATDOG_DATA is not set or incomplete.
    """
    if not data:
        sys.exit('this recipe needs photographs: set CATDOG_DATA')
    folder = Path(data).resolve()
    weights = sorted(folder.glob('weights/*.h5'))
    if not weights or not (folder / 'cats_and_dogs').is_dir():
        sys.exit(f'CATDOG_DATA={data} does not contain cats_and_dogs/ and weights/*.h5')
    return folder / 'cats_and_dogs', weights[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--recipe', help='default: filtered_160_finetune100, or demo for drawings')
    parser.add_argument('--seeds', type=int, default=3, help='number of pairs of runs')
    parser.add_argument('--no-plain', action='store_true', help='run only the pipeline')
    arguments = parser.parse_args()
    data = os.environ.get('CATDOG_DATA')
    name = arguments.recipe or ('filtered_160_finetune100' if data else 'demo')
    options, changes = ['--config', name], []
    if load_recipe(name).data.source != 'drawings':
        images, weights = find_photographs(data)
        options += ['--data', str(images), '--weights', str(weights)]
        changes = [
            ('data.source', 'folder'),
            ('data.path', str(images)),
            ('trainer.weights', str(weights)),
        ]
    recipe = load_recipe(name, changes)
    with tempfile.TemporaryDirectory() as folder:
        measure(recipe, options, arguments.seeds, not arguments.no_plain, Path(folder))
    subprocess.run([sys.executable, 'benchmarks/ingest.py'], cwd=ROOT, check=True)


def measure(recipe: Recipe, options: list[str], seeds: int, plain: bool, folder: Path) -> None:
    """Runs the pairs and prints the tables."""
    console = Console(highlight=False, width=100)
    console.print(f'{recipe.name}, {seeds} seeds, {machine()}')
    write_image_folders(recipe, folder / 'images')
    trainer = recipe.trainer
    rates = json.loads(
        timed(
            'benchmarks/bare_rates.py', folder / 'images', trainer.image_size, trainer.alpha
        ).last_line
    )
    resolved = {'weights': str(weights_file(trainer.weights) or trainer.weights)}
    pipeline_runs, plain_runs = [], []
    for seed in range(seeds):
        pipeline_runs.append(run_pipeline(options, seed, folder / f'pipeline-{seed}'))
        if plain:
            config = folder / f'recipe-{seed}.json'
            config.write_text(json.dumps({**trainer.model_dump(), **resolved, 'seed': seed}))
            run = timed('benchmarks/plain_keras.py', config, folder / 'images')
            plain_runs.append((run, json.loads(run.last_line)))
        console.print(_line(seed, pipeline_runs, plain_runs))
    console.print(component_table(pipeline_runs))
    console.print(rate_table([summary['trainer'] for _, summary in pipeline_runs], rates))
    if trainer.fine_tune.epochs == 0 and not trainer.augment.active:
        console.print(_over_bare_cost(pipeline_runs, rates))
    if plain:
        console.print(comparison_table(pipeline_runs, plain_runs))


def machine() -> str:
    """Processor, number of cores, and versions of Python and TensorFlow."""
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    name = next(line.split(':')[1].strip() for line in lines if line.startswith('model name'))
    versions = f'Python {platform.python_version()}, TensorFlow {metadata.version("tensorflow")}'
    return f'{os.cpu_count()} cores of {name}, {versions}'


def component_table(runs: list[tuple[Run, dict[str, Any]]]) -> Table:
    """Median seconds of each component and of the parts of the Trainer."""
    table = Table('component', 'seconds', title='The pipeline', title_justify='left')
    components = runs[0][1]['components']
    for name in components:
        table.add_row(name, _median(s['components'][name]['seconds'] for _, s in runs))
        if name == 'Trainer':
            for part in runs[0][1]['trainer']:
                table.add_row(f'  {part}', _median(s['trainer'][part]['seconds'] for _, s in runs))
    inside = [sum(each['seconds'] for each in s['components'].values()) for _, s in runs]
    rest = [run.seconds - seconds for (run, _), seconds in zip(runs, inside, strict=True)]
    table.add_row('imports, data preparation, the rest', _median(rest))
    table.add_row('everything', _median(run.seconds for run, _ in runs))
    return table


def rate_table(timings: list[dict[str, Any]], rates: dict[str, float]) -> Table:
    """Images per second of each part of the Trainer, and the bare rates."""
    table = Table('stage', 'images/s', title='Rates', title_justify='left')
    for part, first in timings[0].items():
        if first['images']:
            table.add_row(part, f'{statistics.median(_rate(each[part]) for each in timings):.0f}')
    for name, rate in rates.items():
        table.add_row(f'bare: {name}', f'{rate:.0f}')
    return table


def comparison_table(pipeline_runs: list[Any], plain_runs: list[Any]) -> Table:
    """Ratio of wall times per pair, memory and accuracy of both."""
    table = Table('', 'pipeline', 'plain script', title='Both', title_justify='left')
    both = pipeline_runs, plain_runs
    table.add_row('seconds, median', *(_median(run.seconds for run, _ in runs) for runs in both))
    pairs = zip(pipeline_runs, plain_runs, strict=True)
    ratios = [mine.seconds / other.seconds for (mine, _), (other, _) in pairs]
    spread = f'{min(ratios):.2f} to {max(ratios):.2f}'
    table.add_row('ratio, median', f'{statistics.median(ratios):.2f} ({spread})', '1')
    peaks = (f'{max(run.peak_mb for run, _ in runs):.0f}' for runs in both)
    table.add_row('peak memory, MB', *peaks)
    accuracies = (_mean(result['accuracy'] for _, result in runs) for runs in both)
    table.add_row('test accuracy, mean', *accuracies)
    if plain_runs[0][1]['accuracy_after_head'] is not None:
        after_head = _mean(result['accuracy_after_head'] for _, result in plain_runs)
        table.add_row('  after the head alone', '', after_head)
    return table


def _line(seed: int, pipeline_runs: list[Any], plain_runs: list[Any]) -> str:
    both = [('pipeline', pipeline_runs)] + ([('plain script', plain_runs)] if plain_runs else [])
    return f'seed {seed}: ' + '; '.join(
        f'{name} {runs[-1][0].seconds:.1f} s, accuracy {runs[-1][1]["accuracy"]:.4f}'
        for name, runs in both
    )


def _over_bare_cost(runs: list[tuple[Run, dict[str, Any]]], rates: dict[str, float]) -> str:
    """Ratio of the Trainer's seconds to decoding and one forward pass of each of its images."""
    parts = runs[0][1]['trainer']
    images = sum(part['images'] for name, part in parts.items() if name.startswith('embedding'))
    bare = images * sum(1 / rate for rate in rates.values())
    trainer = statistics.median(s['components']['Trainer']['seconds'] for _, s in runs)
    return (
        f'Trainer {trainer:.1f} s, bare decoding and forward pass of its {images:.0f} images '
        f'{bare:.1f} s: ratio {trainer / bare:.2f}'
    )


def _rate(part: dict[str, float]) -> float:
    return part['images'] / part['seconds']


def _median(values: Any) -> str:
    return f'{statistics.median(values):.1f}'


def _mean(values: Any) -> str:
    found = list(values)
    return f'{statistics.mean(found):.4f} ({min(found):.4f} to {max(found):.4f})'


if __name__ == '__main__':
    main()
