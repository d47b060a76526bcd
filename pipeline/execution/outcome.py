"""The outcome of a run: read from the artifacts of its components, and printed from its record."""

import json
import logging
from pathlib import Path
from typing import Any

from common.artifacts import SERVED
from common.errors import NOT_BLESSED
from common.features import FINE_TUNING_FILE
from common.manual_override import read_override
from common.metadata_queries import custom_property
from common.mirror import uri_of
from components.evaluation.gate.decision import DECISION_FILE, GATE_DECISION, GateDecision
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.evaluation.results import ACCURACY
from components.image_example_gen.image_example_gen import QUARANTINE
from components.image_example_gen.ingestion.ingested import Tally, read_ingested
from components.image_example_gen.ingestion.quarantine import LIST
from components.inference.folder_predictor import FOLDER_PREDICTIONS, TABLE
from components.inference.model_folder import read_classes
from components.pusher.serving_folder import versions_in
from pipeline.config.recipe import Recipe
from pipeline.execution.launch import display_name
from pipeline.execution.run_artifacts import Results, example_folders, file_of, folder
from pipeline.formatting import describe_gate, describe_left_out
from pipeline.models.provenance import GATE
from pipeline.run.record import Run
from trainer.results import FineTuningChoice

_MOST_FINDINGS = 5

_log = logging.getLogger(__name__)


def read_outcome(results: Results, recipe: Recipe) -> dict[str, Any]:
    """Reads the end of a completed run from its artifacts, as values of its record."""
    model = folder(results, 'Trainer', 'model')
    evaluation = folder(results, 'Evaluator', 'evaluation')
    metrics = read_evaluation(evaluation, read_classes(model / SERVED), recipe.trainer.threshold)
    candidate, override = metrics.candidate.overall.metrics, read_override(model)
    decision = folder(results, GATE, GATE_DECISION) / DECISION_FILE
    gate = GateDecision.model_validate_json(decision.read_bytes())
    blessed = override.blessed if override else gate.blessed
    push, live = results['Pusher'], versions_in(recipe.serving_directory)[-1:]
    pushed = push.outputs['pushed_model'][0]
    version = custom_property(pushed, 'pushed') and custom_property(pushed, 'pushed_destination')
    table = file_of(results, 'FolderPredictor', FOLDER_PREDICTIONS, TABLE)
    return {
        'result': 'blessed' if blessed else 'not blessed',
        'exit_code': 0 if blessed else NOT_BLESSED,
        'reasons': () if blessed else (override.describe(),) if override else gate.objections,
        'manual_override': override.describe() if override else None,
        'gate': gate,
        'accuracy': candidate[ACCURACY].value,
        'metrics': candidate,
        **_read_images(results),
        'predictions': uri_of(table) if table else None,
        'warnings': read_warnings(results),
        'fine_tuning': _read_fine_tuning(model / SERVED),
        'model': results['Trainer'].outputs['model'][0].uri,
        'folder': version or None,
        'version': Path(version).name if version else None,
        'unchanged': push.cached or custom_property(pushed, 'unchanged') == 1,
        'live_version': live[0].name if live else None,
        'nodes': {display_name(each): result.seconds for each, result in results.items()},
        'cached': tuple(display_name(each) for each, result in results.items() if result.cached),
    }


def _read_images(results: Results) -> dict[str, Any]:
    """The image counts, summed over the spans."""
    tallies = {each.name: read_ingested(each).tally for each in example_folders(results)}
    tally = sum(tallies.values(), Tally())
    skipped = {'duplicate': tally.duplicates, 'near-duplicate in two splits': tally.between}
    quarantine = folder(results, 'ImageExampleGen', QUARANTINE)
    return {
        'images': tally.used,
        'left_out': {**tally.bad, **{reason: count for reason, count in skipped.items() if count}},
        'lists': tuple(
            uri_of(quarantine / name / LIST) for name, each in tallies.items() if each.bad
        ),
    }


def _read_fine_tuning(model: Path) -> str | None:
    file = model / FINE_TUNING_FILE
    if not file.exists():  # of a recipe without `auto`
        return None
    return FineTuningChoice.model_validate_json(file.read_bytes()).reason


def read_warnings(results: Results) -> tuple[str, ...]:
    """Reads the warnings of AnomalyGate, which may be cached from an earlier run."""
    return tuple(json.loads(folder(results, 'AnomalyGate', 'warnings').read_text('utf-8')))


def show_run(run: Run, page: Path | None = None) -> None:
    """Prints the record of a completed run, last the decision; `page` is its report, if any."""
    _log.info(
        '%.1f s, %d of %d components cached', run.seconds or 0, len(run.cached), len(run.nodes)
    )
    if run.predictions:
        _log.info('predictions for unlabelled images: %s', run.predictions)
    if page:
        _log.info('report: %s', page)
    findings = [*describe_left_out(run.images, run.left_out), *run.warnings]
    for finding in findings[:_MOST_FINDINGS]:
        _log.warning(finding)
    if len(findings) > _MOST_FINDINGS:
        _log.warning('%s more warnings are in the report', len(findings) - _MOST_FINDINGS)
    if run.gate:
        _log.info(describe_gate(run.gate))
        for remark in run.gate.remarks:
            _log.warning(remark)
    if run.blessed:
        if run.manual_override:
            _log.info(run.manual_override)
        style = {'style': 'bold green', 'always': True}
        _log.info('BLESSED%s', _destination(run), extra=style)
        return
    style = {'style': 'bold red', 'always': True}
    _log.info('NOT BLESSED: %s', '; '.join(run.reasons), extra=style)


def _destination(run: Run) -> str:
    """The end of the line that starts with BLESSED: where the model is."""
    place = f', unchanged, in {run.folder}' if run.unchanged else f' and pushed to {run.folder}'
    return place if run.live else f'{place}, but the live version is {run.live_version or "none"}'


def numbers_of(run: Run) -> dict[str, float]:
    """The numbers that Kubeflow compares between runs, without missing values and NaN."""
    compared = run.gate.comparison if run.gate else None
    values = {
        **{name: estimate.value for name, estimate in run.metrics.items()},
        'blessed': float(run.blessed),
        'accuracy': run.accuracy,
        'minimum': run.gate.minimum if run.gate else None,
        'reference': compared.reference if compared else None,
    }
    return {name: value for name, value in values.items() if value is not None}
