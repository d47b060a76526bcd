"""Cross-validation of a recipe: a run of the pipeline for each fold, and each image tested once.

Usage: folds.py DATA [--recipe NAME] [--folds 5] [--folds-run N] [--weights FILE] [--set KEY=VALUE].
DATA is a folder or an archive. The images of a fold are the test images of its run; the others
are divided into train and eval by the shares of the recipe.
"""

import argparse
import hashlib
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from timed_commands import Run, ingested_images, machine, run_pipeline

from common import features
from common.errors import PipelineError
from components.evaluation.results import Estimate, wilson
from components.image_example_gen.sources.base.data_config import SplitConfig
from components.image_example_gen.sources.base.source import LabelledImage, Source, every_image
from components.image_example_gen.sources.spans import make_source
from pipeline.config.recipe import load_recipe, parse_override


class Fold(NamedTuple):
    """The result of one fold."""

    images: tuple[int, ...]  # by split
    right: int  # test images
    log_loss: float
    trainer_seconds: float
    cpu_seconds: float  # of the whole run


class Pooled(NamedTuple):
    """The results of all folds together."""

    images: int
    accuracy: Estimate
    log_loss: float


def split_in_fold(sha256: str, splits: SplitConfig, fold: int, folds: int) -> str:
    """Returns the split of an image, from the digest of its bytes.

    Images keep their fold, and each is in the split test of one fold.
    """
    rest, number = divmod(int(sha256, 16), folds)
    if number == fold:
        return 'test'
    return 'train' if rest % (splits.train + splits.eval) < splits.train else 'eval'


def write_fold(source: Source, splits: SplitConfig, fold: int, folds: int, folder: Path) -> None:
    """Writes the images of a source as files: a folder per split, and in it one per class."""
    for number, image in enumerate(every_image(source)):
        if isinstance(image, LabelledImage):
            split = split_in_fold(hashlib.sha256(image.contents).hexdigest(), splits, fold, folds)
            name = f'{number:06d}{Path(image.filename).suffix}'
            file = folder / split / source.classes[image.label] / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(image.contents)


def result_of(run: Run, workdir: Path) -> Fold:
    """Reads the result of a run of the pipeline."""
    counts = Counter(split for split, _, _ in ingested_images(workdir))
    return Fold(
        images=tuple(counts[split] for split in features.SPLITS),
        right=round(run.result['accuracy'] * counts['test']),
        log_loss=run.result['metrics']['log_loss']['value'],
        trainer_seconds=run.result['nodes']['Trainer'],
        cpu_seconds=run.cpu_seconds,
    )


def pool(results: list[Fold]) -> Pooled:
    """Accuracy and log loss over the test images of all folds."""
    tested = [each.images[-1] for each in results]
    log_loss = np.average([each.log_loss for each in results], weights=tested)
    accuracy = wilson(sum(each.right for each in results), sum(tested))
    return Pooled(sum(tested), accuracy, float(log_loss))


def report(results: list[Fold], output: Console) -> None:
    """Prints a table of the folds, and the pooled results."""
    table = Table(
        'fold', 'train, eval, test', 'wrong', 'accuracy', 'log loss', 'Trainer, s', 'run, CPU s'
    )
    for number, each in enumerate(results, start=1):
        table.add_row(
            str(number),
            ', '.join(f'{count:,}' for count in each.images),
            str(each.images[-1] - each.right),
            f'{each.right / each.images[-1]:.4f}',
            f'{each.log_loss:.4f}',
            f'{each.trainer_seconds:.0f}',
            f'{each.cpu_seconds:.0f}',
        )
    output.print(table)
    images, accuracy, log_loss = pool(results)
    output.print(
        f'{images:,} images, each tested once: accuracy {accuracy.value:.4f} '
        f'(95 % interval {accuracy.low:.4f} to {accuracy.high:.4f}), log loss {log_loss:.4f}'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('data', help='folder or archive of images')
    parser.add_argument('--recipe', default='cats_vs_dogs')
    parser.add_argument('--folds', type=int, default=5)
    parser.add_argument('--folds-run', type=int, help='run only the first ones')
    parser.add_argument('--weights', help='weights file of the backbone')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE')
    options = parser.parse_args()
    changes = ['evaluation.robustness.images=0', *options.set]
    recipe = load_recipe(options.recipe, [parse_override(each) for each in changes], options.data)
    source = make_source(recipe.data)
    words = ['--config', options.recipe, *(word for each in changes for word in ('--set', each))]
    if options.weights:
        words += ['--weights', options.weights]
    output, results = Console(highlight=False, width=100), []
    output.print(machine())
    for fold in range(options.folds_run or options.folds):
        with tempfile.TemporaryDirectory() as name:
            images, workdir = Path(name, 'images'), Path(name, 'runs')
            write_fold(source, recipe.data.splits, fold, options.folds, images)
            run = run_pipeline(workdir, *words, '--data', images)
            results.append(result_of(run, workdir))
            print(f'fold {fold + 1}: {results[-1]}', file=sys.stderr, flush=True)
    report(results, output)


if __name__ == '__main__':
    try:
        main()
    except PipelineError as error:
        sys.exit(f'error: {error}')
