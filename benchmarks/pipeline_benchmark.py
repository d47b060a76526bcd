"""Compares the pipeline with a plain Keras script of the same recipe, alternating, on equal splits.

Usage: make benchmark ARGS="--recipe NAME --seeds N". Photographs are read from CATDOG_DATA (a
folder with cats_and_dogs/ and weights/*.h5) if it is set; otherwise the demo's drawings are used.
Writes the results as JSON, and a page with plots of them and of the runs in `history/`.
"""

import argparse
import datetime
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from comparison_tables import (
    comparison_table,
    component_table,
    over_bare_cost,
    rate_table,
)
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
from image_folders import find_photographs, join_images, write_image_folders
from rich.console import Console
from timed_commands import ROOT, Run, machine, processor, timed, version

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
sys.path.insert(0, str(ROOT))

from common import stack
from common.errors import PipelineError
from pipeline.config.recipe import Recipe, load_recipe, parse_override
from trainer.model.weights import weights_file

# The pair of `--quick`: the demo on a thousand drawings, which are the same everywhere, and a limit
# of 1.6 times its ratio on two cores without other work.
QUICK_RECIPE, QUICK_CHANGE, QUICK_LIMIT = 'demo', 'data.count=1000', 0.9


def run_pipeline(options: list[str], seed: int, workdir: Path) -> tuple[Run, dict[str, Any]]:
    """Runs the pipeline in a new workdir; returns its record with the Trainer's timings too."""
    run = timed(
        'pipeline_runner.py', 'run', *options, '--workdir', workdir, '--set', f'trainer.seed={seed}'
    )
    (summary_file,) = workdir.glob('*/runs/*.json')
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
        parts=summary['nodes'],
        trainer={name: each['seconds'] for name, each in summary['trainer'].items()},
        **run.cost,
    )


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
        console.print(over_bare_cost(runs, rates))


def _line(seed: int, pipeline_runs: list[Any], plain_runs: list[Any]) -> str:
    both = [('pipeline', pipeline_runs)] + ([('plain script', plain_runs)] if plain_runs else [])
    return f'seed {seed}: ' + '; '.join(
        f'{name} {runs[-1][0].seconds:.1f} s, accuracy {runs[-1][1]["accuracy"]:.4f}'
        for name, runs in both
    )


if __name__ == '__main__':
    try:
        main()
    except PipelineError as error:
        sys.exit(f'error: {error}')
