"""Reads the data of a report from the artifacts of a run."""

import datetime
from typing import TypeVar

from pydantic import TypeAdapter

from common.artifacts import SERVED, folder_of
from common.features import CALIBRATION, HISTORY, NETWORK, TEST_IMAGES
from common.metadata_queries import custom_property
from components.conversion.lite.config import LITE_FILE
from components.conversion.onnx.config import ONNX_FILE
from components.conversion.results import ConversionResult
from components.evaluation.gate.verdict import VERDICT, read_verdict
from components.evaluation.held_out.held_out_files import HELD_OUT_FILE, HeldOut
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.evaluation.results import ROBUSTNESS_FILE, Robustness
from components.inference.model_folder import read_classes
from components.pusher.serving_folder import read_note
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements
from pipeline.config.recipe import Recipe
from pipeline.execution.compilation import display_name
from pipeline.execution.outcome import Outcome
from pipeline.execution.run_artifacts import Results, file_of
from pipeline.metadata_store import existing_store
from pipeline.registry.lineage import lineage_of
from pipeline.registry.provenance import GATE, Provenance
from pipeline.report.content.data_summary import data_summary
from pipeline.report.content.page_data import ComponentTime, ModelStatus, ReportData, Stage
from trainer.model.network_table import NetworkPart
from trainer.training.calibration_results import Calibration

_Data = TypeVar('_Data')


def gather(recipe: Recipe, results: Results, outcome: Outcome, seconds: float) -> ReportData:
    """All data of a finished run; parts that the run lacks are None or empty."""
    model = results['Trainer'].outputs['model'][0]
    classes = read_classes(folder_of(model.uri) / SERVED)
    (evaluation,) = results['Evaluator'].outputs['evaluation']
    provenance = Provenance(existing_store(recipe.metadata, recipe.home), recipe.name)
    return ReportData(
        recipe=recipe.name,
        description=recipe.description,
        run_id=outcome.run_id,
        made=datetime.datetime.now(datetime.timezone.utc),
        seconds=seconds,
        config=recipe.model_dump(mode='json'),
        standing=model_status(results, outcome),
        data=data_summary(results, outcome.images).model_copy(update={'classes': classes}),
        evaluation=read_evaluation(folder_of(evaluation.uri), classes, recipe.trainer.threshold),
        robustness=_read(Robustness, results, 'RobustnessEvaluator', 'robustness', ROBUSTNESS_FILE),
        serving=_read(Measurements, results, 'ServingCheck', 'infra_blessing', MEASUREMENTS_FILE),
        lite=_read(ConversionResult, results, 'LiteConverter', 'lite_model', LITE_FILE),
        onnx=_read(ConversionResult, results, 'OnnxConverter', 'onnx_model', ONNX_FILE),
        stages=_read(tuple[Stage, ...], results, 'Trainer', 'model_run', HISTORY) or (),
        network=_read(tuple[NetworkPart, ...], results, 'Trainer', 'model_run', NETWORK) or (),
        calibration=_read(Calibration, results, 'Trainer', 'model_run', CALIBRATION),
        components=tuple(
            ComponentTime(name=display_name(each.node_id), seconds=each.seconds, cached=each.cached)
            for each in results.values()
        ),
        origin=lineage_of(provenance, model, recipe.serving_directory)
        if provenance.producer(model)
        else None,
        held_out=_read(HeldOut, results, 'HeldOutFilter', 'held_out', HELD_OUT_FILE),
        test_images=custom_property(evaluation, TEST_IMAGES),
        decisions_on_test_images=provenance.decisions_on_same_images(evaluation),
        warnings=outcome.warnings,
    )


def model_status(results: Results, outcome: Outcome) -> ModelStatus:
    """The gate decision, and whether the model is live."""
    version, live = outcome.pushed_to, outcome.newest_version
    note = read_note(version) if version else None
    return ModelStatus(
        blessed=outcome.blessed,
        verdict=read_verdict(folder_of(results[GATE].outputs[VERDICT][0].uri)),
        manual_override=outcome.manual_override,
        live=version is not None and version == live,
        unchanged=outcome.unchanged,
        version=version.name if version else None,
        folder=str(version) if version else None,
        since=note.pushed if note else None,
        live_version=live.name if live else None,
    )


def _read(kind: type[_Data], results: Results, node: str, key: str, name: str) -> _Data | None:
    """A JSON file in an output artifact; None if there is none."""
    file = file_of(results, node, key, name)
    return TypeAdapter(kind).validate_json(file.read_bytes()) if file else None
