"""Compares the pipeline with a plain Keras script of the same recipe, alternating, on equal splits.

Usage: make benchmark ARGS="--recipe NAME --seeds N". Photographs are read from CATDOG_DATA (a
folder with cats_and_dogs/ and weights/*.h5) if it is set; otherwise the demo's drawings are used.
Writes the results as JSON, and a page with plots of them and of the runs in `history/`.
"""

import argparse
import dataclasses
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from history import (
    HISTORY,
    Entry,
    GrowthPoint,
    PipelineRun,
    PlainRun,
    exceeded,
    read_entries,
    write_entry,
)
from rich.console import Console
from rich.table import Table

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from common import stack  # noqa: E402
from common.errors import PipelineError  # noqa: E402
from components.image_example_gen.sources.base.config import DataConfig  # noqa: E402
from components.image_example_gen.sources.base.source_protocol import (  # noqa: E402
    LabelledImage,
    every_image,
)
from components.image_example_gen.sources.detect import data_overrides  # noqa: E402
from components.image_example_gen.sources.factory import make_source  # noqa: E402
from pipeline.config.recipe import Recipe, load_recipe, parse_override  # noqa: E402
from trainer.model.weights import weights_file  # noqa: E402

# The pair of `--quick`: the demo on a thousand drawings, which are the same everywhere, and a limit
# of 1.6 times its ratio on two cores without other work.
QUICK_RECIPE, QUICK_CHANGE, QUICK_LIMIT = 'demo', 'data.count=1000', 0.9


@dataclasses.dataclass(frozen=True)
class Run:
    """Wall and CPU seconds of a command, peak memory of its largest process, last line printed."""

    seconds: float
    cpu_seconds: float
    peak_mb: float
    last_line: str

    @property
    def cost(self) -> dict[str, float]:
        """Fields of a `history.MeasuredRun`."""
        return {
            'seconds': self.seconds,
            'cpu_seconds': self.cpu_seconds,
            'peak_mb': self.peak_mb,
        }


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
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, lines[-1])


def overrides(changes: dict[str, object]) -> list[str]:
    """Options `--set key=value` of the command line."""
    return [word for key, value in changes.items() for word in ('--set', f'{key}={value}')]


def write_image_folders(recipe: Recipe, folder: Path) -> int:
    """Writes the images of a recipe's source as files, in the pipeline's splits.

    Returns the number of images of the source.
    """
    import apache_beam as beam

    from components.image_example_gen.ingestion.span import ingest_span

    source = make_source(recipe.data)
    with tempfile.TemporaryDirectory() as name:
        records = Path(name, 'records')
        ingest_span(source, recipe.data, [], records, Path(name, 'quarantine'), beam.Pipeline)
        write_images(records, folder)
    return source.count


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
    (held_out,) = workdir.glob('*/artifacts/HeldOutFilter/held_out/*/held_out.json')
    summary = json.loads(summary_file.read_text())
    test_images = json.loads(held_out.read_text())['kept']
    timings = json.loads(timings_file.read_text())
    return run, {**summary, 'trainer': timings, 'test_images': test_images}


def run_plain(recipe: Recipe, seed: int, images: Path, config: Path) -> tuple[Run, dict[str, Any]]:
    """Runs the plain script; returns what it printed."""
    weights = weights_file(recipe.trainer.weights) or recipe.trainer.weights
    values = {**recipe.trainer.model_dump(), 'weights': str(weights), 'seed': seed}
    config.write_text(json.dumps(values))
    run = timed('benchmarks/plain_keras.py', config, images)
    return run, json.loads(run.last_line)


def pipeline_entry(seed: int, run: Run, summary: dict[str, Any]) -> PipelineRun:
    """A run of the pipeline as part of an entry."""
    images = summary['test_images']
    return PipelineRun(
        seed=seed,
        correct=round(summary['accuracy'] * images),
        images=images,
        parts=_component_seconds(summary, beside=False),
        beside=_component_seconds(summary, beside=True),
        trainer={name: each['seconds'] for name, each in summary['trainer'].items()},
        **run.cost,
    )


def _component_seconds(summary: dict[str, Any], *, beside: bool) -> dict[str, float]:
    return {
        name: each['seconds']
        for name, each in summary['components'].items()
        if each['beside'] == beside
    }


def plain_entry(seed: int, run: Run, result: dict[str, Any]) -> PlainRun:
    """A run of the plain script as part of an entry."""
    return PlainRun(
        seed=seed,
        correct=round(result['accuracy'] * result['images']),
        images=result['images'],
        parts=result['seconds'],
        epochs=result['epochs'],
        **run.cost,
    )


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


def join_images(paths: list[str], folder: Path) -> Path:
    """Joins folders and archives of images in one folder with a folder per class."""
    for number, path in enumerate(paths):
        values = {key.removeprefix('data.'): value for key, value in data_overrides(path)}
        config = DataConfig.model_validate({k: v for k, v in values.items() if v is not None})
        source = make_source(config)
        for place, image in enumerate(every_image(source)):
            if isinstance(image, LabelledImage):
                target = folder / source.classes[image.label]
                target.mkdir(parents=True, exist_ok=True)
                name = f'{number}-{place:06d}{Path(image.filename).suffix}'
                (target / name).write_bytes(image.contents)
    return folder


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('--recipe', help='default: filtered_160_finetune100, or demo for drawings')
    add('--seeds', type=int, default=3, help='number of pairs of runs; default: 3')
    add('--images', nargs='+', help='folders or archives, joined; default: of CATDOG_DATA')
    add('--set', action='append', default=[], metavar='KEY=VALUE', help='override a key for both')
    add('--no-plain', action='store_true', help='run only the pipeline')
    add('--quick', action='store_true', help='one pair on drawings: two minutes')
    add('--check', action='store_true', help=f'fail if the ratio is above {QUICK_LIMIT:g}')
    add('--growth', action='store_true', help='also measure growth with the number of images')
    add('--page-only', action='store_true', help='only write the page from the JSON files')
    add('--json', type=Path, help='file for the results; default: in build/benchmark')
    add('--page', type=Path, default=ROOT / 'build/benchmark/index.html', help='file of the page')
    arguments = parser.parse_args()
    if arguments.check and (not arguments.quick or arguments.no_plain):
        parser.error('--check needs the pair of --quick')
    if arguments.seeds < 1:
        parser.error('--seeds must be at least 1')
    if arguments.quick:
        arguments.recipe, arguments.seeds, arguments.images = QUICK_RECIPE, 1, None
        arguments.set = [QUICK_CHANGE, *arguments.set]
    return arguments


def main() -> None:
    arguments = parse_arguments()
    if arguments.page_only:
        write_page(arguments.page, [arguments.json] if arguments.json else [])
        return
    data = os.environ.get('CATDOG_DATA')
    given = arguments.images
    name = arguments.recipe or ('filtered_160_finetune100' if data or given else 'demo')
    options = ['--config', name, *(word for each in arguments.set for word in ('--set', each))]
    with tempfile.TemporaryDirectory() as folder:
        settings, images = [parse_override(each) for each in arguments.set], None
        if given or load_recipe(name).data.source != 'drawings':
            photographs, weights = find_photographs(data)
            images = str(join_images(given, Path(folder, 'joined')) if given else photographs)
            options += ['--data', images, '--weights', str(weights)]
            settings.append(('trainer.weights', str(weights)))
        recipe = load_recipe(name, settings, images)
        changes = {key: str(value) for key, value in map(parse_override, arguments.set)}
        entry = measure(recipe, changes, options, arguments, Path(folder))
    if arguments.growth:
        entry = entry.model_copy(update={'growth': measure_growth()})
    default = f'{entry.date[:10]}-{name}-{entry.images}.json'
    file = arguments.json or ROOT / 'build/benchmark' / default
    write_entry(entry, file)
    write_page(arguments.page, [file])
    print(f'results: {file}; page: {arguments.page}')
    if arguments.check and (problem := exceeded(entry, QUICK_LIMIT)):
        sys.exit(problem)


def measure_growth() -> tuple[GrowthPoint, ...]:
    """Measures the growth of each node in a subprocess; takes half an hour."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'growth.json')
        timed('benchmarks/growth.py', '--json', file)
        return tuple(GrowthPoint(**each) for each in json.loads(file.read_text()))


def write_page(page: Path, files: list[Path]) -> None:
    """Writes the page of the history and of further files."""
    from page import render

    known = {file.resolve() for file in [*HISTORY.glob('*.json'), *files]}
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(read_entries(known)), encoding='utf-8')


def measure(
    recipe: Recipe,
    changes: dict[str, str],
    options: list[str],
    arguments: argparse.Namespace,
    folder: Path,
) -> Entry:
    """Runs the pairs, prints the tables and returns the results."""
    console = Console(highlight=False, width=100)
    console.print(f'{recipe.name}, {arguments.seeds} seeds, {machine()}')
    count = write_image_folders(recipe, folder / 'images')
    pipeline_runs, plain_runs = [], []
    for seed in range(arguments.seeds):
        pipeline_runs.append(run_pipeline(options, seed, folder / f'pipeline-{seed}'))
        if not arguments.no_plain:
            config = folder / f'recipe-{seed}.json'
            plain_runs.append(run_plain(recipe, seed, folder / 'images', config))
        console.print(_line(seed, pipeline_runs, plain_runs))
    console.print(component_table(pipeline_runs))
    if not arguments.quick:
        show_rates(console, recipe, pipeline_runs, folder / 'images')
    if plain_runs:
        console.print(comparison_table(pipeline_runs, plain_runs))
    return Entry(
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        version=version(),
        machine=processor(),
        stack=stack.describe(),
        recipe=recipe.name,
        changes=changes,
        images=count,
        pipeline=tuple(pipeline_entry(seed, *run) for seed, run in enumerate(pipeline_runs)),
        plain=tuple(plain_entry(seed, *run) for seed, run in enumerate(plain_runs)),
    )


def show_rates(console: Console, recipe: Recipe, runs: list[Any], images: Path) -> None:
    """Prints the rates of the Trainer's parts next to the bare rates of this machine."""
    trainer = recipe.trainer
    run = timed('benchmarks/bare_rates.py', images, trainer.image_size, trainer.alpha)
    rates = json.loads(run.last_line)
    console.print(rate_table([summary['trainer'] for _, summary in runs], rates))
    if trainer.fine_tune.epochs == 0 and not trainer.augment.active:
        console.print(_over_bare_cost(runs, rates))


def version() -> str:
    """The commit of the code, with `-dirty` if it was changed; `unknown` without git."""
    command = ['git', 'describe', '--always', '--dirty']
    try:
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # a copy without git
        return 'unknown'
    return run.stdout.strip()


def processor() -> str:
    """Number of cores and name of the processor."""
    lines = Path('/proc/cpuinfo').read_text().splitlines()
    name = next(line.split(':')[1].strip() for line in lines if line.startswith('model name'))
    return f'{os.cpu_count()} cores of {name}'


def machine() -> str:
    """Processor, number of cores, and versions of Python and TensorFlow."""
    return f'{processor()}, {stack.describe()}'


def component_table(runs: list[tuple[Run, dict[str, Any]]]) -> Table:
    """Median seconds of each component and of the parts of the Trainer."""
    table = Table('component', 'seconds', title='The pipeline', title_justify='left')
    components = runs[0][1]['components']
    for name, first in components.items():
        label = f'{name}, beside others' if first['beside'] else name
        table.add_row(label, _median(s['components'][name]['seconds'] for _, s in runs))
        if name == 'Trainer':
            for part in runs[0][1]['trainer']:
                table.add_row(f'  {part}', _median(s['trainer'][part]['seconds'] for _, s in runs))
    inside = [sum(_component_seconds(s, beside=False).values()) for _, s in runs]
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
    try:
        main()
    except PipelineError as error:
        sys.exit(f'error: {error}')
