"""Writes the report of a finished run from its artifacts."""

import itertools
import json
import logging
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.artifacts import SERVED, content_of, folder_of
from common.features import CALIBRATION, HISTORY, NETWORK, SPLITS, TEST_IMAGES
from common.files import write_atomically
from common.metadata_queries import custom_property
from common.mirror import uri_of
from components.conversion.conversion_results import RESULT_FILE
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.evaluation.predictions.held_out import HELD_OUT_FILE
from components.evaluation.results import ROBUSTNESS_FILE
from components.image_example_gen.ingestion.ingested import Counts, Tally, read_ingested
from components.image_example_gen.ingestion.quarantine import LIST, read_quarantined
from components.inference.model_folder import read_classes
from components.serving_check.measurements import MEASUREMENTS_FILE
from pipeline.config.recipe import Recipe
from pipeline.execution.run_artifacts import Results, example_folders, file_of
from pipeline.models.lineage import lineage_of
from pipeline.models.provenance import provenance_of
from pipeline.report.embedded_images import page_images
from pipeline.report.page.render import render_page
from pipeline.report.page_data import DataSummary, ReportData
from pipeline.report.store import store_report
from pipeline.run.record import Run

_MAX_QUARANTINED = 8  # listed on the page
# JSON files of the report by key of ReportData: node, output, name
_FILES = {
    'robustness': ('RobustnessEvaluator', 'robustness', ROBUSTNESS_FILE),
    'serving': ('ServingCheck', 'infra_blessing', MEASUREMENTS_FILE),
    'converted': ('Converter', 'converted_models', RESULT_FILE),
    'stages': ('Trainer', 'model_run', HISTORY),
    'network': ('Trainer', 'model_run', NETWORK),
    'calibration': ('Trainer', 'model_run', CALIBRATION),
    'held_out': ('Predictor', 'predictions', HELD_OUT_FILE),
}

_log = logging.getLogger(__name__)


def write_report(path: Path, recipe: Recipe, results: Results, run: Run) -> ReportData | None:
    """Writes the report to the reports of the recipe and to `path`.

    Returns its data. An error is logged, gives None, and does not fail the run, because its model
    may be live already.
    """
    try:
        data = _read_data(recipe, results, run)
        page = render_page(data, page_images(results, data))
        store_report(recipe.home, data, page, recipe.report.keep)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, page)
    except Exception as error:
        traceback.print_exc()  # into the log file of the run
        _log.warning('the report cannot be written: %s: %s', type(error).__name__, error)
        return None
    return data


def _read_data(recipe: Recipe, results: Results, run: Run) -> ReportData:
    model = results['Trainer'].outputs['model'][0]
    classes = read_classes(content_of(model.uri) / SERVED)
    (predictions,) = results['Predictor'].outputs['predictions']
    measured = content_of(results['Evaluator'].outputs['evaluation'][0].uri)
    provenance = provenance_of(recipe)
    files = {key: file_of(results, *place) for key, place in _FILES.items()}
    values: dict[str, Any] = {
        **{key: json.loads(file.read_bytes()) for key, file in files.items() if file},
        'data': summarize(example_folders(results), run.lists),
        'evaluation': read_evaluation(measured, classes, recipe.trainer.threshold),
        'origin': lineage_of(provenance, model, recipe.serving_directory),
        'test_images': custom_property(predictions, TEST_IMAGES),
        'decisions_on_test_images': provenance.decisions_on_same_images(predictions),
    }
    return ReportData.model_validate({**dict(run), **values})


def summarize(spans: Sequence[Path], lists: Sequence[str]) -> DataSummary:
    """Counts of the images of all spans, and the first quarantined ones."""
    ingested = [read_ingested(folder) for folder in spans]
    totals: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for span in ingested:
        for split, by_class in span.counts.items():
            totals[split].update(by_class)
    counts: Counts = {split: dict(by_class) for split, by_class in totals.items()}
    folders = [content_of(uri_of(folder_of(each).parent)) for each in lists]
    present = [folder for folder in folders if (folder / LIST).is_file()]  # else removed since
    quarantined = itertools.chain.from_iterable(map(read_quarantined, present))
    return DataSummary(
        counts=counts,
        tally=sum((span.tally for span in ingested), Tally()),
        examples=tuple(itertools.islice(quarantined, _MAX_QUARANTINED)),
    )
