"""Evaluates a version on labelled images of any source, without a run."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import apache_beam as beam
import numpy as np

from common.artifacts import folder_of
from common.errors import DataError, ModelError
from common.features import INDEX, SPLITS
from components.evaluation.gate.paired import compare
from components.evaluation.held_out.component import find_held_out
from components.evaluation.metrics.component import measure
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.evaluation.predictions.component import predict_images
from components.evaluation.predictions.prediction_files import (
    PREDICTIONS_FILE,
    candidate_rows,
    write_predictions,
)
from components.evaluation.predictions.split_images import (
    files_of_split,
    find_images,
    read_images,
)
from components.evaluation.results import BASELINE, CANDIDATE
from components.evaluation.robustness.mistakes import draw_mistakes, worst_mistakes
from components.image_example_gen.ingestion.ingested import Tally
from components.image_example_gen.ingestion.span import ingest_span
from components.image_example_gen.inspection.examine import worker_processes
from components.image_example_gen.sources.base.labels import describe_classes
from components.image_example_gen.sources.base.source import Source
from components.image_example_gen.sources.spans import Span, open_labelled
from components.inference.classifier import Classifier
from pipeline.config.beam import beam_args
from pipeline.config.recipe import Recipe
from pipeline.models.mounts import mounted_store
from pipeline.models.provenance import Provenance, training_config
from pipeline.report.embedded_images import embedded_mistakes
from pipeline.report.page_data import LabelledSet, PageImages
from pipeline.run.record import utc_now
from trainer.training.trained_images import read_trained_images

_MISTAKES = 12


def evaluate(
    recipe: Recipe, version: Path, against: Path | None, work: Path
) -> tuple[LabelledSet, PageImages]:
    """Evaluates a version, and another one `against` it, on the images of `recipe.data`.

    Images are checked as at ingestion, and those that one of the versions was trained on are left
    out, as in a run. `work` is an empty folder for records and predictions.

    Raises:
        DataError: there are no labelled images, none is left, or some are of an unknown class.
        ModelError: a version cannot be loaded, or the two have other classes.
    """
    folders = {CANDIDATE: version, **({BASELINE: against} if against else {})}
    models = {name: Classifier(folder) for name, folder in folders.items()}
    classes = models[CANDIDATE].classes
    for name, model in models.items():
        if model.classes != classes:
            raise ModelError(
                f'version {folders[name].name} has {describe_classes(model.classes)}, version '
                f'{version.name} {describe_classes(classes)}; they cannot be compared'
            )
    records, tally = _ingest(recipe, open_labelled(recipe.data, classes), work / 'records')
    if not tally.used:
        raise DataError(f'{recipe.data.describe()}: no image can be used: {tally.clauses()[0]}')
    provenance = Provenance(mounted_store(recipe), recipe.name)
    trained = {folder.name: _trained_images(provenance, folder) for folder in folders.values()}
    held_out, dropped = find_held_out(
        [_all_as_test(folder) for folder in records],
        [index for index in trained.values() if index is not None],
        recipe.data.checks.near_distance,
    )
    if not held_out.kept:
        raise DataError(
            f'{recipe.data.describe()}: the model was trained on all images, or on similar ones'
        )
    files = [file for split in SPLITS for file in files_of_split(records, split)]
    for name, model in models.items():
        write_predictions(work / name, predict_images(model, read_images(files)))
    stored = {name: work / name / PREDICTIONS_FILE for name in models}
    with beam.Pipeline() as pipeline:
        measure(stored, frozenset(dropped), str(work / 'metrics'), pipeline)
    threshold = _threshold(provenance, version, recipe)
    found = read_evaluation(work / 'metrics', classes, threshold)
    worst = worst_mistakes(candidate_rows(work / CANDIDATE, dropped), _MISTAKES)
    images = {image.key: image for image in find_images(files, [row.key for row in worst])}
    mistakes = draw_mistakes(worst, images, models[CANDIDATE], work)
    pairs = found.baseline.overall.pairs if found.baseline else None
    data = LabelledSet(
        recipe=recipe.name,
        version=version.name,
        against=against.name if against else None,
        data=recipe.data.describe(),
        evaluated=utc_now(),
        tally=tally,
        held_out=held_out,
        unknown=tuple(name for name, index in trained.items() if index is None),
        evaluation=found,
        comparison=compare(pairs.counts, recipe.evaluation.max_drop) if pairs else None,
        mistakes=mistakes,
    )
    return data, PageImages(mistakes=embedded_mistakes(work, mistakes))


def _ingest(recipe: Recipe, spans: Sequence[Span], folder: Path) -> tuple[list[Path], Tally]:
    """Checks the images, and writes the records of the usable ones, in a folder for each span."""
    arguments = beam_args(recipe.beam, sum(span.source.count for span in spans))
    records: list[Path] = []
    tally = Tally()
    with worker_processes():
        for span in spans:
            place = folder / f'span-{span.number}'
            targets = place / 'records', place / 'quarantine'
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
    return read_trained_images(folder_of(model.uri)) if model else None


def _threshold(provenance: Provenance, version: Path, recipe: Recipe) -> float:
    """The threshold that the version was trained with; that of the recipe if it is not known."""
    config = training_config(provenance.producer(provenance.model_of(version)))
    return float(config.get('train', {}).get('threshold', recipe.trainer.threshold))
