"""Compares what `init` and the Trainer choose with fixed values, on sets of images.

Usage: defaults.py [--weights WEIGHTS] [--seeds N] [--grid] [--script] [PLACE]...

PLACE is anything that `init` takes; without one, the four sets of CATDOG_DATA and four that are
made. Its recipe runs unchanged, then with fixed fine-tuning; with
`--grid` at two depths, lengths and image sizes. `--script` adds a plain Keras script that
trains the whole network: the head for an epoch, then one cycle of all layers with batch norm.
"""

import argparse
import itertools
import os
import statistics
import tempfile
from pathlib import Path

from made_sets import CHANGED
from pipeline_benchmark import run_plain
from timed_commands import Run, machine, run_pipeline, timed

from pipeline.config.recipe import load_recipe
from trainer.config.train import NAMED_WEIGHTS

LAYERS, EPOCHS, RATE = ('block_14_expand', 'block_6_expand'), (4, 8), 2e-4
WHOLE = {'from_layer': 0, 'epochs': 5, 'batch_norm': 'train', 'learning_rate': 1e-3, 'warmup': 0.2}


def variants(size: int, *, grid: bool) -> list[list[str]]:
    """What each run sets: nothing, then fixed values, first those of `init` before `auto`."""
    found: list[list[str]] = [[]]
    for layer, epochs, pixels in itertools.product(LAYERS, EPOCHS, (size, size + 64)):
        stage = {'from_layer': layer, 'epochs': epochs, 'learning_rate': RATE}
        changes = [f'fine_tune.{key}={value}' for key, value in stage.items()]
        found.append([*changes, f'image_size={pixels}'])
    return found if grid else found[:2]


def absolute(place: str) -> str:
    """A path for commands, which run in another folder; a URL as it is."""
    return place if '://' in place else str(Path(place).absolute())


def given_sets() -> list[str]:
    """The photographs of CATDOG_DATA: a folder of classes, and archives."""
    root = Path(os.environ['CATDOG_DATA'])
    return [str(root / 'cats_and_dogs'), *map(str, sorted(root.glob('*.zip')))]


def print_row(place: str, name: str, runs: list[Run]) -> None:
    """Prints accuracies, their mean, and median seconds of the training and of everything."""
    accuracies = [each.result['accuracy'] for each in runs]
    training = [each.result.get('nodes', {}).get('Trainer', each.seconds) for each in runs]
    measured = (training, [r.seconds for r in runs], [r.cpu_seconds for r in runs])
    seconds = [f'{statistics.median(each):.0f}' for each in measured]
    mean, each = f'{statistics.mean(accuracies):.4f}', ', '.join(f'{a:.4f}' for a in accuracies)
    print('|', ' | '.join((Path(place).name, name, mean, each, *seconds)), '|', flush=True)


def compare(place: str, folder: Path, options: argparse.Namespace) -> None:
    recipe, runs = folder / 'recipe.yaml', []
    timed('pipeline_runner.py', 'init', place, '-o', recipe, '--weights', options.weights)
    size = load_recipe(str(recipe)).trainer.image_size
    for number, changes in enumerate(variants(size, grid=options.grid)):
        row = []
        for seed in range(options.seeds):
            words = [f'--set=trainer.{each}' for each in (*changes, f'seed={seed}')]
            row.append(run_pipeline(folder / f'{number}-{seed}', '--config', recipe, *words))
        chosen = row[0].result.get('fine_tuning') or 'the recipe of init'
        print_row(place, ', '.join(changes) or chosen, row)
        runs.append(row[0])
    if options.script:
        first = runs[0]  # at the size that `init` chooses
        trainer = first.result['config']['trainer']
        trainer['feature_extraction']['epochs'] = 1
        trainer['fine_tune'] |= {**WHOLE, 'schedule': 'cosine'}
        print_row(place, 'script', [run_plain(first, folder / '0-0', folder / 'images')])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--weights', default='imagenet')
    parser.add_argument('--seeds', type=int, default=1)
    parser.add_argument('--grid', action='store_true')
    parser.add_argument('--script', action='store_true')
    parser.add_argument('places', nargs='*', type=absolute)
    options = parser.parse_args()
    if options.weights not in NAMED_WEIGHTS:
        options.weights = absolute(options.weights)
    print(f'{machine()}\n\n| set | values | mean | accuracies | Trainer, s | run, s | CPU, s |')
    print('| --- | --- | --- | --- | --- | --- | --- |')
    for place in options.places or [*map(absolute, given_sets()), *CHANGED]:
        with tempfile.TemporaryDirectory() as folder:
            if place in CHANGED:
                CHANGED[place](made := Path(folder, place))
                place = str(made)
            compare(place, Path(folder), options)


if __name__ == '__main__':
    main()
