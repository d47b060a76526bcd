"""Cross-validation of a recipe: its Trainer once per fold, and each image tested once.

Usage: folds.py DATA [--recipe NAME] [--folds 5] [--folds-run N] [--weights FILE] [--set KEY=VALUE]
[--plain] [--json FILE]. DATA is a folder or an archive. Each fold is ingested by ImageExampleGen,
trained by the Trainer's `run_fn`, and tested with the exported SavedModel. The other images are
divided into train and eval by the shares of the recipe. With `--plain`, plain_small.py is trained
and tested on the same images of the same size; it needs `--weights`.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
import types
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from image_folders import write_images
from rich.console import Console
from rich.table import Table
from timed_commands import ROOT, machine, timed

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
sys.path.insert(0, str(ROOT))

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import metadata_io

from common import console, features
from components.evaluation.results import wilson
from components.image_example_gen.ingestion import transforms
from components.image_example_gen.ingestion.span import ingest_span
from components.image_example_gen.ingestion.transforms import (
    examine_images,
    example_in,
    read_frames,
)
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.sources.base.data_config import SplitConfig
from components.image_example_gen.sources.base.source import BadImage
from components.image_example_gen.sources.spans import make_source
from pipeline.config.recipe import Recipe, load_recipe, parse_override
from pipeline.schema import schema_for
from trainer.preprocessing import preprocessing_fn
from trainer.run import run_fn

_BATCH = 64


def split_in_fold(sha256: str, splits: SplitConfig, fold: int, folds: int) -> str:
    """Returns the split of an image, from the digest of its bytes.

    Images keep their fold, and each is in the split test of one fold.
    """
    rest, number = divmod(int(sha256, 16), folds)
    if number == fold:
        return 'test'
    return 'train' if rest % (splits.train + splits.eval) < splits.train else 'eval'


def ingest_fold(recipe: Recipe, fold: int, folds: int, folder: Path) -> tuple[str, ...]:
    """Writes the records of a fold to `folder/span-1`; returns the classes."""

    def examine(images: Iterable[Any], checks: CheckConfig) -> Iterator[Any]:
        for found in examine_images(images, checks):
            if isinstance(found, BadImage):
                yield found
            else:
                image, good = found
                sha256 = hashlib.sha256(image.contents).hexdigest()
                split: Any = split_in_fold(sha256, recipe.data.splits, fold, folds)
                yield image._replace(part=split), good

    source = make_source(recipe.data)
    with mock.patch.object(transforms, 'examine_images', examine):
        targets = folder / 'span-1', folder / 'quarantine'
        ingest_span(source, recipe.data, targets, beam.Pipeline)
    return tuple(source.classes)


def write_transform_graph(classes: tuple[str, ...], size: int, folder: Path) -> None:
    """Writes the preprocessing as the Transform component does; it needs no images."""
    metadata = tft.DatasetMetadata(schema_for(classes))
    with beam.Pipeline() as pipeline, tft_beam.Context(temp_dir=str(folder / 'tmp')):
        transform_fn = (pipeline | beam.Create([]), metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, {'image_size': size})
        )
        transform_fn | tft_beam.WriteTransformFn(str(folder))
    metadata_io.write_metadata(metadata, str(folder / 'metadata'))


def train(recipe: Recipe, classes: tuple[str, ...], folder: Path) -> Path:
    """Runs the Trainer on the records of a fold; returns the SavedModel."""
    model = folder / 'model' / 'Format-Serving'
    run_fn(
        types.SimpleNamespace(
            custom_config={
                'train': recipe.trainer.model_dump(mode='json'),
                'classes': list(classes),
                'splitting': {},
                'max_megapixels': recipe.data.checks.max_megapixels,
            },
            hyperparameters=None,
            transform_graph_path=str(folder / 'transform_graph'),
            train_files=[f'{folder}/span-1/Split-train/*'],
            eval_files=[f'{folder}/span-1/Split-eval/*'],
            base_model=None,
            model_run_dir=str(folder / 'run'),
            serving_model_dir=str(model),
        )
    )
    return model


def predict(model: Path, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Runs a SavedModel on the split test; returns probabilities, [n, classes], and labels, [n]."""
    serve = tf.saved_model.load(str(model)).signatures[features.SIGNATURE_EXAMPLES]
    files = sorted(folder.glob('span-1/Split-test/*'))
    records = [example_in(frame) for file in files for frame in read_frames(file)]
    spec = {features.LABEL: tf.io.FixedLenFeature([], tf.int64)}
    labels = tf.io.parse_example(records, spec)[features.LABEL].numpy()
    probabilities = np.concatenate(
        [
            serve(**{features.EXAMPLES_INPUT: tf.constant(records[start : start + _BATCH])})[
                features.PROBABILITY
            ]
            for start in range(0, len(records), _BATCH)
        ]
    )
    if probabilities.shape[1] == 1:
        probabilities = np.hstack([1 - probabilities, probabilities])
    return probabilities, labels


def run_fold(recipe: Recipe, fold: int, folds: int, *, plain: bool = False) -> dict[str, Any]:
    """Ingests, trains and tests one fold; returns its counts, log loss, seconds and CPU seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        classes = ingest_fold(recipe, fold, folds, folder)
        run = run_plain if plain else run_trainer
        result = run(recipe, classes, folder)
        index = np.load(folder / 'span-1' / features.INDEX)
        images = np.bincount(index['split'], minlength=3).tolist()
    return {'fold': fold, 'images': dict(zip(features.SPLITS, images, strict=True)), **result}


def run_trainer(recipe: Recipe, classes: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """Trains the records of a fold with the Trainer, and tests the SavedModel."""
    write_transform_graph(classes, recipe.trainer.image_size, folder / 'transform_graph')
    start, cpu = time.perf_counter(), time.process_time()
    model = train(recipe, classes, folder)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    probabilities, labels = predict(model, folder)
    of_label = probabilities[np.arange(len(labels)), labels]
    predicted = probabilities.argmax(axis=1)
    if len(classes) == 2:
        predicted = (probabilities[:, 1] >= recipe.trainer.threshold).astype(int)
    return {
        'right': int((predicted == labels).sum()),
        'log_loss': float(-np.log(of_label).mean()),
        'seconds': seconds,
        'cpu_seconds': cpu,
    }


def run_plain(recipe: Recipe, _: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """Trains and tests plain_small.py on the images of a fold."""
    images = folder / 'images'
    write_images(folder / 'span-1', images)
    trainer = recipe.trainer
    command = 'benchmarks/plain_small.py', images, trainer.weights, trainer.image_size
    result: dict[str, Any] = json.loads(timed(*command).last_line)
    return result


def report(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Prints the folds, and returns the pooled results of all."""
    table = Table('fold', 'train, eval, test', 'accuracy', 'log loss', 'seconds', 'CPU seconds')
    for each in results:
        images = each['images']
        table.add_row(
            f'{each["fold"] + 1}',
            ', '.join(f'{count:,}' for count in images.values()),
            f'{each["right"] / images["test"]:.4f}',
            f'{each["log_loss"]:.4f}',
            f'{each["seconds"]:.0f}',
            f'{each["cpu_seconds"]:.0f}',
        )
    tested = [each['images']['test'] for each in results]
    accuracy = wilson(sum(each['right'] for each in results), sum(tested))
    pooled = {
        'images': sum(tested),
        'accuracy': accuracy.model_dump(),
        'log_loss': float(np.average([each['log_loss'] for each in results], weights=tested)),
        'seconds': float(np.mean([each['seconds'] for each in results])),
        'cpu_seconds': float(np.mean([each['cpu_seconds'] for each in results])),
    }
    output = Console(highlight=False, width=100)
    output.print(machine())
    output.print(table)
    output.print(
        f'{pooled["images"]:,} images, each tested once: accuracy {accuracy.value:.4f} '
        f'(95 % interval {accuracy.low:.4f} to {accuracy.high:.4f}), log loss '
        f'{pooled["log_loss"]:.4f}; {pooled["seconds"]:.0f} s, {pooled["cpu_seconds"]:.0f} CPU '
        'seconds per training'
    )
    return pooled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('data', help='folder or archive of images')
    parser.add_argument('--recipe', default='cats_vs_dogs')
    parser.add_argument('--folds', type=int, default=5)
    parser.add_argument('--folds-run', type=int, help='run only the first ones')
    parser.add_argument('--weights', help='weights file of the backbone')
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE')
    parser.add_argument('--plain', action='store_true', help='train plain_small.py')
    parser.add_argument('--json', type=Path, help='file for the results')
    options = parser.parse_args()
    changes = [parse_override(each) for each in options.set]
    if options.weights:
        changes.append(('trainer.weights', options.weights))
    if options.plain and not options.weights:
        parser.error('--plain needs --weights')
    recipe = load_recipe(options.recipe, changes, options.data)
    results = []
    with Path(os.devnull).open('w') as nowhere, console.output_to(nowhere):
        for fold in range(options.folds_run or options.folds):
            results.append(run_fold(recipe, fold, options.folds, plain=options.plain))
            print(json.dumps(results[-1]), file=sys.stderr, flush=True)
    pooled = report(results)
    if options.json:
        written = {'recipe': recipe.model_dump(mode='json'), 'folds': results, 'pooled': pooled}
        options.json.write_text(json.dumps(written, indent=1) + '\n')


if __name__ == '__main__':
    main()
