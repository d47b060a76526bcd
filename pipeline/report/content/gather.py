"""Reads the data of a report from the artifacts of a run."""

from typing import TypeVar

from pydantic import TypeAdapter

from common.artifacts import SERVED, folder_of
from common.features import CALIBRATION, HISTORY, NETWORK, TEST_IMAGES
from common.metadata_queries import custom_property
from components.conversion.lite.config import LITE_FILE
from components.conversion.onnx.config import ONNX_FILE
from components.conversion.results import ConversionResult
from components.evaluation.held_out.held_out_files import HELD_OUT_FILE, HeldOut
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.evaluation.results import ROBUSTNESS_FILE, Robustness
from components.inference.model_folder import read_classes
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements
from pipeline.config.recipe import Recipe
from pipeline.execution.run_artifacts import Results, file_of
from pipeline.metadata_store import existing_store
from pipeline.models.lineage import lineage_of
from pipeline.models.provenance import Provenance
from pipeline.report.content.data_summary import data_summary
from pipeline.report.content.page_data import ReportData, Stage
from pipeline.run.record import Run
from trainer.model.network_table import NetworkPart
from trainer.training.calibration_results import Calibration

_Data = TypeVar('_Data')


def gather(recipe: Recipe, results: Results, run: Run) -> ReportData:
    """All data of a finished run; parts that the run lacks are None or empty."""
    model = results['Trainer'].outputs['model'][0]
    classes = read_classes(folder_of(model.uri) / SERVED)
    (evaluation,) = results['Evaluator'].outputs['evaluation']
    provenance = Provenance(existing_store(recipe.metadata, recipe.home), recipe.name)
    return ReportData(
        **dict(run),
        description=recipe.description,
        data=data_summary(results).model_copy(update={'classes': classes}),
        evaluation=read_evaluation(folder_of(evaluation.uri), classes, recipe.trainer.threshold),
        robustness=_read(Robustness, results, 'RobustnessEvaluator', 'robustness', ROBUSTNESS_FILE),
        serving=_read(Measurements, results, 'ServingCheck', 'infra_blessing', MEASUREMENTS_FILE),
        lite=_read(ConversionResult, results, 'LiteConverter', 'lite_model', LITE_FILE),
        onnx=_read(ConversionResult, results, 'OnnxConverter', 'onnx_model', ONNX_FILE),
        stages=_read(tuple[Stage, ...], results, 'Trainer', 'model_run', HISTORY) or (),
        network=_read(tuple[NetworkPart, ...], results, 'Trainer', 'model_run', NETWORK) or (),
        calibration=_read(Calibration, results, 'Trainer', 'model_run', CALIBRATION),
        origin=lineage_of(provenance, model, recipe.serving_directory)
        if provenance.producer(model)
        else None,
        held_out=_read(HeldOut, results, 'HeldOutFilter', 'held_out', HELD_OUT_FILE),
        test_images=custom_property(evaluation, TEST_IMAGES),
        decisions_on_test_images=provenance.decisions_on_same_images(evaluation),
    )


def _read(kind: type[_Data], results: Results, node: str, key: str, name: str) -> _Data | None:
    """A JSON file in an output artifact; None if there is none."""
    file = file_of(results, node, key, name)
    return TypeAdapter(kind).validate_json(file.read_bytes()) if file else None
