"""ModelGate after TFX's Evaluator, in a TFX run."""

import io
import json
from pathlib import Path

import tensorflow as tf
from example_records import write_records
from tfx.components import Evaluator
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types import artifact_utils, standard_artifacts

from common import console, features
from common.metadata_queries import custom_property
from components.evaluation.config import EvaluationConfig
from components.evaluation.gate.component import ModelGate
from components.evaluation.gate.verdict import read_verdict
from components.evaluation.metrics.classifier_metrics import eval_config
from components.evaluation.metrics.slices import custom_extractors
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements
from pipeline.local.runner import ProgressDagRunner

CLASSES = ('cats', 'dogs')
DARK, BRIGHT = 0.2, 0.8  # brightness of cats and dogs
IMAGES = 30  # of each
CONFIG = EvaluationConfig(min_images=10, floors={'brightness.dark': 0.9, 'class.birds': 0.9})


class ByBrightness(tf.Module):
    """Predicts dogs for bright images."""

    def __init__(self, weight: float) -> None:
        self.weight = tf.Variable(weight)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def predict(self, examples):
        spec = {features.BRIGHTNESS: tf.io.FixedLenFeature([1], tf.float32)}
        brightness = tf.io.parse_example(examples, spec)[features.BRIGHTNESS]
        return {features.PROBABILITY: tf.sigmoid(self.weight * (brightness - 0.5) - 0.1)}


@component
def Train(model: OutputArtifact[standard_artifacts.Model], weight: Parameter[float]) -> None:
    module = ByBrightness(weight)
    signatures = {features.SIGNATURE_EXAMPLES: module.predict}
    tf.saved_model.save(module, f'{model.uri}/Format-Serving', signatures=signatures)


@component
def Ingest(examples: OutputArtifact[standard_artifacts.Examples]) -> None:
    examples.split_names = artifact_utils.encode_split_names(['test'])
    path = Path(examples.uri, 'Split-test', 'data-00000-of-00001')
    write_records(path, [record(number % 2) for number in range(2 * IMAGES)])


def record(label: int) -> dict[str, object]:
    return {
        features.LABEL: label,
        features.CLASS_NAME: CLASSES[label],
        features.BRIGHTNESS: (DARK, BRIGHT)[label],
    }


@component
def Serve(infra_blessing: OutputArtifact[standard_artifacts.InfraBlessing]) -> None:
    found = Measurements(problems=(), checks=('one image',), size_mb=1)
    Path(infra_blessing.uri, MEASUREMENTS_FILE).write_text(found.model_dump_json())


def pipeline(folder: Path) -> Pipeline:
    ingest, serve = Ingest(), Serve()
    train, before = Train(weight=9.0), Train(weight=3.0).with_id('Before')
    evaluator = Evaluator(
        examples=ingest.outputs['examples'],
        model=train.outputs['model'],
        baseline_model=before.outputs['model'],
        eval_config=eval_config(CONFIG, CLASSES, 0.5, code='1'),
        example_splits=['test'],
        module_path=custom_extractors.__module__,
    )
    gate = ModelGate(
        model=train.outputs['model'],
        evaluation=evaluator.outputs['evaluation'],
        infra_blessing=serve.outputs['infra_blessing'],
        baseline_model=before.outputs['model'],
        config=CONFIG.model_dump_json(),
        classes=json.dumps(CLASSES),
        threshold=0.5,
        code='1',
    )
    nodes = [ingest, train, before, serve, evaluator, gate]
    database = sqlite_metadata_connection_config(str(folder / 'metadata.sqlite'))
    return Pipeline('judging', str(folder), components=nodes, metadata_connection_config=database)


def test_blesses_model_with_reason_per_rule(tmp_path):
    runner, output = ProgressDagRunner(), io.StringIO()
    with console.output_to(output):
        runner.run(pipeline(tmp_path))

    results = runner.results
    (model,), (before,) = results['Train'].outputs['model'], results['Before'].outputs['model']
    (blessing,) = results['ModelGate'].outputs['blessing']
    assert custom_property(blessing, 'blessed') == 1
    assert custom_property(blessing, 'current_model_id') == model.id
    assert custom_property(blessing, 'current_model') == model.uri
    assert custom_property(blessing, 'baseline_model_id') == before.id
    assert Path(blessing.uri, 'BLESSED').is_file()
    (verdict,) = results['ModelGate'].outputs['verdict']
    unused = 'the test split has no images of birds; floor 0.90 not enforced'
    assert [each.reason for each in read_verdict(Path(verdict.uri)).rulings] == [
        'predictions are finite',
        'predicts 2 of 2 classes',
        'accuracy 1.000, baseline 0.90 (n=60)',
        'accuracy 1.000, last blessed model 1.000 on the same images, maximum drop 0.00 (n=60)',
        'accuracy on dark images 1.000, floor 0.90 (n=30)',
        unused,
        '1 serving check passed',
    ]
    assert f'  {unused}\n' in output.getvalue()
