"""Compares the pipeline with a plain Keras script of the same recipe, in turn, on equal splits.

Usage: make benchmark ARGS="--recipe NAME --seeds N". Photographs are read from CATDOG_DATA (a
folder with cats_and_dogs/ and weights/*.h5) if it is set; otherwise the demo's drawings are used.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from timed_commands import Run, ingested_images, machine, run_pipeline, timed

from common.errors import PipelineError
from pipeline.config.recipe import load_recipe
from trainer.model.weights import weights_file

# The pair of `--quick`: the demo on a thousand drawings, which are the same everywhere, and a limit
# of 1.6 times its ratio on two cores without other work.
QUICK_RECIPE, QUICK_CHANGE, QUICK_LIMIT = 'demo', 'data.count=1000', 0.9


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('--recipe', help='default: filtered_160_finetune100, or demo for drawings')
    add('--seeds', type=int, default=3, help='number of pairs of runs; default: 3')
    add('--images', help='folder or archive; default: the photographs of CATDOG_DATA')
    add('--set', action='append', default=[], metavar='KEY=VALUE', help='override a key for both')
    add('--no-plain', action='store_true', help='run only the pipeline')
    add('--quick', action='store_true', help='one pair on drawings: two minutes')
    add('--check', action='store_true', help=f'fail if the ratio is above {QUICK_LIMIT:g}')
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
    data, images = os.environ.get('CATDOG_DATA'), arguments.images
    name = arguments.recipe or ('filtered_160_finetune100' if data or images else 'demo')
    options = ['--config', name, *(word for each in arguments.set for word in ('--set', each))]
    if images or load_recipe(name).data.source != 'drawings':
        photographs, weights = find_photographs(data)
        options += ['--data', images or str(photographs), '--weights', str(weights)]
    console = Console(highlight=False, width=100)
    console.print(f'{name}, {arguments.seeds} seeds, {machine()}')
    runs, plain = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            workdir = Path(folder, f'seed-{seed}')
            runs.append(run_pipeline(workdir, *options, '--set', f'trainer.seed={seed}'))
            console.print(f'seed {seed}: pipeline {in_words(runs[-1])}')
            if not arguments.no_plain:
                plain.append(run_plain(runs[-1], workdir, Path(folder, 'images')))
                console.print(f'seed {seed}: plain script {in_words(plain[-1])}')
    console.print(component_table(runs))
    if plain:
        console.print(comparison_table(runs, plain))
    if arguments.check:
        check(ratios(runs, plain), QUICK_LIMIT)


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


def run_plain(run: Run, workdir: Path, images: Path) -> Run:
    """Runs the plain script with the settings and splits of a run of the pipeline."""
    if not images.exists():
        for number, (split, class_name, contents) in enumerate(ingested_images(workdir)):
            file = images / split / class_name / f'{number:06d}.jpg'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(contents)
    settings = run.result['config']['trainer']
    weights = weights_file(settings['weights']) or settings['weights']
    config = workdir / 'plain.json'
    config.write_text(json.dumps({**settings, 'weights': str(weights)}))
    return timed('benchmarks/plain_keras.py', config, images)


def component_table(runs: Sequence[Run]) -> Table:
    """Median seconds of each component and of the parts of the Trainer, and images per second."""
    results = [run.result for run in runs]
    table = Table('component', 'seconds', 'images/s', title='The pipeline', title_justify='left')

    def add(name: str, seconds: Iterable[float], images: int = 0) -> None:
        value = statistics.median(seconds)
        table.add_row(name, f'{value:.1f}', f'{images / value:,.0f}' if images else '')

    for name in results[0]['nodes']:
        images = results[0]['images'] if name == 'ImageExampleGen' else 0
        add(name, (each['nodes'][name] for each in results), images)
        if name == 'Trainer':
            for part, first in results[0]['trainer'].items():
                seconds = (each['trainer'][part]['seconds'] for each in results)
                add(f'  {part}', seconds, first['images'])
    inside = [sum(each['nodes'].values()) for each in results]
    rest = (run.seconds - seconds for run, seconds in zip(runs, inside, strict=True))
    add('imports, data preparation, the rest', rest)
    add('everything', (run.seconds for run in runs))
    return table


def comparison_table(runs: Sequence[Run], plain: Sequence[Run]) -> Table:
    """Ratio of wall times per pair, memory and accuracy of both."""
    table = Table('', 'pipeline', 'plain script', title='Both', title_justify='left')

    def add(name: str, form: str, value: Any) -> None:
        table.add_row(name, *(form.format(value(each)) for each in (runs, plain)))

    add('wall seconds, median', '{:.1f}', lambda of: statistics.median(x.seconds for x in of))
    add('CPU seconds, median', '{:.1f}', lambda of: statistics.median(x.cpu_seconds for x in of))
    found = ratios(runs, plain)
    spread = f'{min(found):.2f} to {max(found):.2f}'
    table.add_row('ratio of wall times, median', f'{statistics.median(found):.2f} ({spread})', '1')
    add('peak memory, MB', '{:.0f}', lambda of: max(run.peak_mb for run in of))
    add('test accuracy, mean', '{:.4f}', lambda of: statistics.mean(map(accuracy, of)))
    add('  lowest', '{:.4f}', lambda of: min(map(accuracy, of)))
    add('  highest', '{:.4f}', lambda of: max(map(accuracy, of)))
    return table


def ratios(runs: Sequence[Run], plain: Sequence[Run]) -> list[float]:
    """Wall time of the pipeline divided by that of the plain script, for each pair."""
    return [mine.seconds / other.seconds for mine, other in zip(runs, plain, strict=True)]


def check(found: Sequence[float], limit: float) -> None:
    """Exits with an error if the median ratio is above the limit."""
    if (ratio := statistics.median(found)) > limit:
        sys.exit(
            f'the pipeline takes {ratio:.2f} times the seconds of the plain script '
            f'(limit {limit:g}): it became slower, or the limit must be measured again'
        )


def accuracy(run: Run) -> float:
    return float(run.result['accuracy'])


def in_words(run: Run) -> str:
    return f'{run.seconds:.1f} s, accuracy {accuracy(run):.4f}'


if __name__ == '__main__':
    try:
        main()
    except PipelineError as error:
        sys.exit(f'error: {error}')
