"""Evaluates a version on labelled images of any source, without a run."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
import numpy as np

from common.artifacts import content_of
from common.errors import DataError
from common.features import INDEX, SPLITS
from components.evaluation.gate.component import compare_rows
from components.evaluation.metrics.component import measure
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.evaluation.predictions.component import predict_images
from components.evaluation.predictions.held_out import distinct_images, find_held_out
from components.evaluation.predictions.prediction_files import (
    prediction_paths,
    read_rows,
    write_predictions,
)
from components.evaluation.predictions.split_images import (
    files_of_split,
    find_images,
)
from components.evaluation.robustness.mistakes import ShownRows
from components.image_example_gen.ingestion.ingested import Tally
from components.image_example_gen.ingestion.span import ingest_span
from components.image_example_gen.inspection.examine import worker_processes
from components.image_example_gen.sources.base.source import Source
from components.image_example_gen.sources.spans import Span
from components.inference.classifier import Classifier
from pipeline.config.beam import beam_args
from pipeline.config.recipe import Recipe
from pipeline.models.provenance import Provenance, provenance_of, training_config
from pipeline.report.page_data import LabelledSet
from pipeline.run.record import utc_now
from trainer.training.trained_images import read_trained_images


def evaluate(
    recipe: Recipe, spans: Sequence[Span], version: Path, against: Path | None, work: Path
) -> LabelledSet:
    """Evaluates a version, and another one `against` it, on the images of `recipe.data`.

    Images are checked as at ingestion, and those that one of the versions was trained on are left
    out, as in a run. Both versions have the classes of the `spans`. `work` is an empty folder for
    records, predictions and pictures.

    Raises:
        DataError: no image can be used, or none is left.
        ModelError: a version cannot be loaded.
    """
    versions = [version, *([against] if against else [])]
    models = [Classifier(folder) for folder in versions]
    classes = models[0].classes
    records, tally = _ingest(recipe, spans, work)
    if not tally.used:
        raise DataError(f'{recipe.data.describe()}: no image can be used: {tally.clauses()[0]}')
    provenance = provenance_of(recipe)
    trained = [_trained_images(provenance, folder) for folder in versions]
    indexes = [index for index in trained if index is not None]
    near = recipe.data.checks.near_distance
    kept, counts = find_held_out(distinct_images([*map(_all_as_test, records)]), indexes, near)
    if not counts.kept:
        raise DataError(
            f'{recipe.data.describe()}: the model was trained on all images, or on similar ones'
        )
    files = [file for split in SPLITS for file in files_of_split(records, split)]
    predictions = [work / f'predictions-{number}' for number in range(len(models))]
    for folder, model in zip(predictions, models, strict=True):
        write_predictions(folder, predict_images(model, files, kept))
    one, other = predictions[0], predictions[-1] if against else work
    paths = prediction_paths(one, other)
    measure(paths, recipe.evaluation, str(work / 'metrics'), beam.Pipeline())
    rows = [*read_rows(paths)]
    shown = ShownRows.of(rows)
    pictures = {image.key: image for image in find_images(files, shown.keys)}
    drawn = shown.draw(pictures, models[0], work)
    config = training_config(provenance.producer(provenance.model_of(version))).get('train', {})
    threshold = config.get('threshold', recipe.trainer.threshold)
    return LabelledSet(
        recipe=recipe.name,
        version=_name(recipe, version),
        against=_name(recipe, against) if against else None,
        data=recipe.data.describe(),
        evaluated=utc_now(),
        notes=tuple(dict.fromkeys(note for span in spans for note in span.source.notes)),
        tally=tally,
        held_out=counts,
        unknown=tuple(
            _name(recipe, folder)
            for folder, index in zip(versions, trained, strict=True)
            if index is None
        ),
        evaluation=read_evaluation(work / 'metrics', classes, threshold),
        comparison=compare_rows(rows, recipe.evaluation),
        mistakes=drawn.mistakes,
        worse=drawn.worse,
        better=drawn.better,
    )


def _name(recipe: Recipe, version: Path) -> str:
    """The number of a version, or the last two parts of the path of another folder."""
    folder = version.absolute()
    own = folder.parent == recipe.serving_directory
    return folder.name if own else '/'.join(folder.parts[-2:])


def _ingest(recipe: Recipe, spans: Sequence[Span], folder: Path) -> tuple[list[Path], Tally]:
    """Checks the images, and writes the records of the usable ones, in a folder for each span."""
    arguments = beam_args(recipe.beam, sum(span.source.count for span in spans))
    records: list[Path] = []
    tally = Tally()
    with worker_processes():
        for span in spans:
            places = (folder / f'{kind}-{span.number}' for kind in ('records', 'quarantine'))
            targets = next(places), next(places)
            source = _undivided(span.source)
            found = ingest_span(
                source, recipe.data, targets, lambda: beam.Pipeline(argv=arguments), records
            )
            records.append(targets[0])
            tally += found.tally
    return records, tally


def _undivided(source: Source) -> Source:
    """The source without its division into train, validation and test."""
    pieces = [dataclasses.replace(each, parts=dict.fromkeys(each.parts)) for each in source.pieces]
    return dataclasses.replace(source, pieces=pieces)


def _all_as_test(records: Path) -> np.ndarray:
    """The index of a span whose images are all tested on."""
    index = np.load(records / INDEX)
    index['split'] = SPLITS.index('test')
    return index


def _trained_images(provenance: Provenance, version: Path) -> np.ndarray | None:
    """The index of the training images of a version; None if it is not known."""
    model = provenance.model_of(version)
    return read_trained_images(content_of(model.uri)) if model else None
