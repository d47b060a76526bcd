"""Gathers what a page says of a run from the files that its components left."""

import datetime
import json

from common.artifacts import SERVED, folder_of
from common.features import CLASSES_FILE, HISTORY
from components.evaluation.gate.verdict import VERDICT, read_verdict
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.evaluation.results import ROBUSTNESS_FILE, Evaluation, Robustness
from components.lite_converter.lite_results import LITE_FILE, LiteResult
from components.pusher.serving_folder import read_note
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements
from pipeline.config.recipe import Recipe
from pipeline.execution.compilation import display_name
from pipeline.execution.launch import NodeResult
from pipeline.execution.outcome import Outcome
from pipeline.metadata_store import existing_store
from pipeline.registry.lineage import TrainedModel, lineage_of
from pipeline.registry.provenance import GATE, Provenance
from pipeline.report.content.data_facts import data_facts
from pipeline.report.content.page_data import (
    ModelName,
    Origin,
    ReportData,
    Seconds,
    Stage,
    Standing,
)
from pipeline.report.content.run_artifacts import Results, artifact_of, file_of


def gather(recipe: Recipe, results: Results, outcome: Outcome, seconds: float) -> ReportData:
    """All that there is of a run that came to its end; what it lacks is left out."""
    counted = data_facts(results, outcome.images)
    classes = _classes(results) or counted.classes
    data = counted.model_copy(update={'classes': classes})
    return ReportData(
        recipe=recipe.name,
        description=recipe.description,
        run_id=outcome.run_id,
        made=datetime.datetime.now(datetime.timezone.utc),
        seconds=seconds,
        config=recipe.model_dump(mode='json'),
        standing=standing(results, outcome),
        data=data,
        evaluation=_evaluation(results, classes, recipe.trainer.threshold),
        robustness=_robustness(results),
        serving=_measurements(results),
        lite=_lite(results),
        stages=_stages(results),
        components=tuple(
            Seconds(name=display_name(each.node_id), seconds=each.seconds, cached=each.cached)
            for each in results.values()
        ),
        origin=read_origin(recipe, results),
        warnings=outcome.warnings,
    )


def standing(results: Results, outcome: Outcome) -> Standing:
    """Whether the model is live, and why."""
    version, live = outcome.pushed_to, outcome.newest_version
    note = read_note(version) if version else None
    return Standing(
        blessed=outcome.blessed,
        verdict=read_verdict(folder_of(results[GATE].outputs[VERDICT][0].uri)),
        by_hand=outcome.by_hand,
        live=version is not None and version == live,
        unchanged=outcome.unchanged,
        version=version.name if version else None,
        folder=str(version) if version else None,
        since=note.pushed if note else None,
        live_version=live.name if live else None,
    )


def _classes(results: Results) -> tuple[str, ...]:
    """Names in the order of the labels, as the model has them."""
    file = file_of(results, 'Trainer', 'model', f'{SERVED}/{CLASSES_FILE}')
    return tuple(json.loads(file.read_text(encoding='utf-8'))) if file else ()


def _evaluation(results: Results, classes: tuple[str, ...], threshold: float) -> Evaluation | None:
    artifact = artifact_of(results, 'Evaluator', 'evaluation')
    return read_evaluation(folder_of(artifact.uri), classes, threshold) if artifact else None


def _robustness(results: Results) -> Robustness | None:
    file = file_of(results, 'RobustnessEvaluator', 'robustness', ROBUSTNESS_FILE)
    return Robustness.model_validate_json(file.read_text(encoding='utf-8')) if file else None


def _measurements(results: Results) -> Measurements | None:
    file = file_of(results, 'ServingCheck', 'infra_blessing', MEASUREMENTS_FILE)
    return Measurements.model_validate_json(file.read_text(encoding='utf-8')) if file else None


def _lite(results: Results) -> LiteResult | None:
    file = file_of(results, 'LiteConverter', 'lite_model', LITE_FILE)
    return LiteResult.model_validate_json(file.read_text(encoding='utf-8')) if file else None


def _stages(results: Results) -> tuple[Stage, ...]:
    file = file_of(results, 'Trainer', 'model_run', HISTORY)
    stages = json.loads(file.read_text(encoding='utf-8')) if file else []
    return tuple(map(Stage.model_validate, stages))


def read_origin(recipe: Recipe, results: dict[str, NodeResult]) -> Origin | None:
    """Spans, code, parents and baseline; None if the metadata does not know the model."""
    artifacts = results['Trainer'].outputs.get('model', []) if 'Trainer' in results else []
    provenance = Provenance(existing_store(recipe.metadata, recipe.home), recipe.name)
    if not artifacts or provenance.producer(artifacts[0]) is None:
        return None
    found = lineage_of(provenance, artifacts[0])
    return Origin(
        trained_by=found.model.run,
        trained=found.model.trained,
        spans=dict(found.model.spans),
        code=found.model.code,
        weights=found.model.weights,
        parents=tuple(map(_named, found.parents)),
        baseline=_named(found.baseline) if found.baseline else None,
        tuned=found.model.tuned,
    )


def _named(model: TrainedModel) -> ModelName:
    return ModelName(version=model.version, run=model.run)
