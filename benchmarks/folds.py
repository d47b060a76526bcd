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

from timed_commands import Run, ingested_images, machine, run_pipeline

from common.errors import PipelineError
from components.evaluation.results import wilson
from components.image_example_gen.sources.base.data_config import SplitConfig
from components.image_example_gen.sources.base.source import LabelledImage, Source, every_image
from components.image_example_gen.sources.spans import make_source
from pipeline.config.recipe import load_recipe, parse_override


class Fold(NamedTuple):
    """The result of one fold."""

    tested: int
    right: int
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
    tested = Counter(split for split, _, _ in ingested_images(workdir))['test']
    log_loss = run.result['metrics']['log_loss']['value']
    return Fold(tested, round(run.result['accuracy'] * tested), log_loss)


def pooled(results: list[Fold]) -> str:
    """Accuracy and log loss over the test images of all folds."""
    tested = sum(each.tested for each in results)
    log_loss = sum(each.log_loss * each.tested for each in results) / tested
    accuracy = wilson(sum(each.right for each in results), tested)
    return (
        f'{tested:,} images, each tested once: accuracy {accuracy.value:.4f} '
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
    results = []
    print(f'{machine()}\n\n| fold | tested | right | log loss | Trainer, s | run, CPU s |')
    print('| --- | --- | --- | --- | --- | --- |')
    for fold in range(options.folds_run or options.folds):
        with tempfile.TemporaryDirectory() as name:
            images, workdir = Path(name, 'images'), Path(name, 'runs')
            write_fold(source, recipe.data.splits, fold, options.folds, images)
            run = run_pipeline(workdir, *words, '--data', images)
            results.append(result_of(run, workdir))
        tested, right, log_loss = results[-1]
        seconds = f'{run.result["nodes"]["Trainer"]:.0f} | {run.cpu_seconds:.0f}'
        print(f'| {fold + 1} | {tested} | {right} | {log_loss:.4f} | {seconds} |', flush=True)
    print(f'\n{pooled(results)}')


if __name__ == '__main__':
    try:
        main()
    except PipelineError as error:
        sys.exit(f'error: {error}')
