"""A TFX run of the Evaluator on stored predictions, and of ModelGate."""

import json
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from example_records import write_records
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx_runs import run_nodes

from common import features
from common.metadata_queries import custom_property
from components.evaluation.config import EvaluationConfig
from components.evaluation.gate.component import ModelGate
from components.evaluation.gate.decision import DECISION_FILE, GateDecision
from components.evaluation.metrics import classifier_metrics, evaluation_files
from components.evaluation.metrics.classifier_metrics import ClassifierMetrics
from components.evaluation.metrics.component import Evaluator, measure
from components.evaluation.metrics.estimates import Judged, estimates
from components.evaluation.metrics.evaluation_files import (
    reaches_minimum,
    read_accuracy,
    read_evaluation,
)
from components.evaluation.predictions.component import Predictions
from components.evaluation.predictions.prediction_files import prediction_paths, write_predictions
from components.evaluation.predictions.split_images import read_images
from components.evaluation.results import ACCURACY, METRICS
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements

CLASSES, THRESHOLDS = ('cats', 'dogs'), {'candidate': 0.6, 'reference': 0.2}
SOURCES = ['phone', 'web', b'caf\xe9', 'café', 'web', 'web']  # one is invalid UTF-8
CONFIG = EvaluationConfig(
    min_images=10, floors={'brightness.dark': 0.3, 'class.birds': 0.9, 'log_loss': 0.1}
)


def record(number: int) -> dict[str, object]:
    """Features of a test image; `candidate` and `reference` are predictions."""
    random = np.random.default_rng(number)
    label = number % 2
    width = 600 if number % 3 else 270
    return {
        features.IMAGE_BYTES: bytes([number]),
        features.LABEL: label,
        features.CLASS_NAME: CLASSES[label],
        features.BRIGHTNESS: float(random.uniform(0.2, 0.8)),
        features.SHARPNESS: 6.5,
        features.HEIGHT: 300,
        features.WIDTH: width,
        features.ASPECT: width / 300,
        features.SOURCE: SOURCES[number % 6],
        'candidate': float(random.beta(6, 2) if label else random.beta(2, 6)),
        'reference': 0.25,
    }


# The last record has no source, and a NaN prediction of the reference.
LAST = {
    features.IMAGE_BYTES: b'last',
    features.LABEL: 1,
    features.CLASS_NAME: 'dogs',
    'candidate': 0.9,
    'reference': float('nan'),
}
RECORDS = [*map(record, range(120)), LAST]


def predicted(record, name):
    """Label and probability that a model predicts; each has its own threshold."""
    second = record[name]
    label = -1 if np.isnan(second) else int(second >= THRESHOLDS[name])
    return label, np.array([1 - second, second], np.float32)


@component
def Train(
    model: OutputArtifact[standard_artifacts.Model],
    model_run: OutputArtifact[standard_artifacts.ModelRun],
) -> None:
    """Its validation accuracy is far above that on the test images."""
    stages = [{'best_epoch': 2, 'metrics': {'val_accuracy': [0.5, 0.99, 0.6]}}]
    Path(model_run.uri, features.HISTORY).write_text(json.dumps(stages))


@component
def Predict(
    predictions: OutputArtifact[Predictions], name: Parameter[str], images: Parameter[int]
) -> None:
    """Stores the predictions as Predictor does; the reference has more images."""
    file = Path(predictions.uri) / 'records' / 'data'
    write_records(file, RECORDS)
    pairs = zip(read_images([file]), RECORDS, strict=True)
    rows = [(image, *predicted(record, name)) for image, record in pairs]
    write_predictions(Path(predictions.uri), rows[::-1] if name == 'reference' else rows[:images])


@component
def Serve(infra_blessing: OutputArtifact[standard_artifacts.InfraBlessing]) -> None:
    found = Measurements(problems=(), checks=('one image',), size_mb=1)
    Path(infra_blessing.uri, MEASUREMENTS_FILE).write_text(found.model_dump_json())


def run_pipeline(folder: Path, images: int = len(RECORDS)):
    """Artifacts by node and output."""
    train, before, serve = Train(), Train().with_id('Before'), Serve()
    stored = {
        'predictions': Predict(name='candidate', images=images),
        'reference_predictions': Predict(name='reference', images=images).with_id('Reference'),
    }
    predictions = {key: node.outputs['predictions'] for key, node in stored.items()}
    evaluator = Evaluator(**predictions, config=CONFIG.model_dump_json())
    gate = ModelGate(
        **predictions,
        model=train.outputs['model'],
        model_run=train.outputs['model_run'],
        reference_model=before.outputs['model'],
        evaluation=evaluator.outputs['evaluation'],
        infra_blessing=serve.outputs['infra_blessing'],
        config=CONFIG.model_dump_json(),
        classes=list(CLASSES),
        threshold=THRESHOLDS['candidate'],
    )
    results = run_nodes(folder, train, before, serve, *stored.values(), evaluator, gate)
    return {
        (node, key): each
        for node, result in results.items()
        for key, (each,) in result.outputs.items()
    }


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return run_pipeline(tmp_path_factory.mktemp('gate'))


@pytest.fixture(scope='module')
def folder(run):
    """Folder of the ModelEvaluation."""
    return Path(run['Evaluator', 'evaluation'].uri)


@pytest.fixture(scope='module')
def evaluation(folder):
    return read_evaluation(folder, CLASSES, THRESHOLDS['candidate'])


def slice_of(model, feature, name=''):
    (found,) = [each for each in model.slices if (each.feature, each.name) == (feature, name)]
    return found


def decision_of(run):
    file = Path(run['ModelGate', 'gate_decision'].uri, DECISION_FILE)
    return GateDecision.model_validate_json(file.read_bytes())


def test_gate_decides_by_tfma_and_the_reference_model(run):
    decision = decision_of(run)

    results = [(each.rule, each.result) for each in decision.rules]
    assert results == [
        ('predictions', 'passed'),
        ('minimum', 'passed'),
        ('reference model', 'passed'),
        ('floor', 'failed'),  # of the log loss, which is a maximum
        ('floor', 'passed'),
        ('floor', 'not applied'),
        ('serving', 'passed'),
    ]
    assert decision.comparison.outcome == 'better'
    assert decision.comparison.images == decision.images == len(RECORDS)
    assert decision.minimum == pytest.approx(61 / 121)
    assert any('0.990 on validation images' in remark for remark in decision.remarks)


def test_blessing_is_like_that_of_tfx(run):
    blessing = run['ModelGate', 'blessing']
    assert custom_property(blessing, 'blessed') == 0
    assert custom_property(blessing, 'current_model_id') == run['Train', 'model'].id
    assert custom_property(blessing, 'baseline_model_id') == run['Before', 'model'].id
    assert Path(blessing.uri, 'NOT_BLESSED').is_file()


def test_minimum_is_a_threshold_of_tfma(folder):
    config = tfma.load_eval_result(str(folder), model_name='candidate').config
    ((name, limits),) = config.metrics_specs[0].per_slice_thresholds.items()
    assert name == 'accuracy_low'
    threshold = limits.thresholds[0].threshold.value_threshold
    assert threshold.lower_bound.value == pytest.approx(61 / 121)
    assert reaches_minimum(folder)


@pytest.mark.parametrize(
    ('labels', 'config'),
    [
        pytest.param((0, 1), EvaluationConfig(minimum=0.95), id='below'),
        pytest.param(
            (0,), EvaluationConfig(minimum=0.1, metric='balanced_accuracy'), id='undefined'
        ),
    ],
)
def test_tfma_finds_that_the_minimum_is_not_reached(tmp_path, labels, config):
    records = [each for each in RECORDS if each[features.LABEL] in labels]
    file = tmp_path / 'records' / 'data'
    write_records(file, records)
    pairs = zip(read_images([file]), records, strict=True)
    rows = ((image, *predicted(record, 'candidate')) for image, record in pairs)
    write_predictions(tmp_path, rows)
    measure(prediction_paths(tmp_path), config, str(tmp_path / 'evaluation'), beam.Pipeline())
    assert not reaches_minimum(tmp_path / 'evaluation')


@pytest.mark.parametrize(
    ('feature', 'name', 'belongs'),
    [
        ('', '', lambda record: True),
        ('brightness', 'dark', lambda record: record.get(features.BRIGHTNESS, 1) < 0.4),
        ('class', 'dogs', lambda record: record[features.LABEL] == 1),
    ],
)
def test_measures_slices_on_their_images(evaluation, feature, name, belongs):
    records = [each for each in RECORDS if belongs(each)]
    labels = np.array([each[features.LABEL] for each in records])
    labels_and_rows = [predicted(each, 'candidate') for each in records]
    predictions, given = map(np.array, zip(*labels_and_rows, strict=True))

    found = slice_of(evaluation.candidate, feature, name)

    assert found.images == len(records)
    expected = estimates(Judged(labels, predictions, given))
    assert list(found.metrics) == list(expected)
    for key in expected:
        assert dict(found.metrics[key]) == pytest.approx(dict(expected[key]))


def test_confusion_counts_images_by_label_and_prediction(evaluation):
    predicted = [each['candidate'] >= 0.6 for each in RECORDS if each[features.LABEL]]
    dogs = sum(predicted)
    assert evaluation.candidate.confusion[1] == (len(predicted) - dogs, dogs)


def test_nan_prediction_leaves_metrics_only_to_slices_without_it(evaluation):
    reference = evaluation.reference

    assert {each.value for each in reference.overall.metrics.values()} == {None}
    # It predicts 0.25 for each image, which is above its own threshold.
    assert slice_of(reference, 'class', 'cats').metrics[ACCURACY].value == 0
    assert reference.confusion == ((0, 60), (0, 60))
    assert reference.roc == ((0, 0), (1, 1))
    assert [bucket.images for bucket in reference.calibration] == [120]
    assert len(evaluation.candidate.roc) > 50


@pytest.mark.slow
def test_no_model_is_blessed_if_no_test_image_is_left(tmp_path):
    run = run_pipeline(tmp_path, images=0)
    decision = decision_of(run)
    assert not decision.blessed
    assert decision.objections[0].startswith('no test image is left')


def test_slices_are_sorted(evaluation):
    found = {(each.feature, each.name): each.images for each in evaluation.candidate.slices}

    assert list(found) == [
        ('', ''),
        *(('class', 'cats'), ('class', 'dogs')),
        *(('brightness', 'dark'), ('brightness', 'medium'), ('brightness', 'bright')),
        ('sharpness', 'medium'),
        *(('size', 'small'), ('size', 'large')),
        *(('aspect', 'square'), ('aspect', 'wide')),
        *(('source', 'web'), ('source', 'café'), ('source', 'caf\ufffd'), ('source', 'phone')),
    ]
    assert found['size', 'large'] == 80  # 0.18 megapixels, the edge
    for feature in ('brightness', 'sharpness', 'size', 'aspect', 'source'):
        images = sum(number for (key, _), number in found.items() if key == feature)
        assert images == len(RECORDS) - (feature == 'source')


def test_keeps_largest_sources(folder, monkeypatch):
    monkeypatch.setattr(evaluation_files, 'MAX_SOURCES', 2)
    slices = read_evaluation(folder, CLASSES, THRESHOLDS['candidate']).candidate.slices
    assert [each.name for each in slices if each.feature == 'source'] == ['web', 'café']


def test_reads_accuracy_if_there_is_an_evaluation(folder, evaluation, tmp_path):
    assert read_accuracy(folder) == evaluation.candidate.overall.metrics[ACCURACY].value
    assert read_accuracy(tmp_path) is None
    assert read_evaluation(tmp_path, CLASSES, 0.5).candidate.overall.images == 0


def test_metric_of_six_classes_joins_parts(monkeypatch):
    monkeypatch.setattr(classifier_metrics, '_MOST_PARTS', 2)
    random = np.random.default_rng(0)
    labels = np.arange(12) % 6
    given = random.dirichlet([1] * 6, 12).astype(np.float32)
    judged = Judged(labels, given.argmax(axis=1), given)
    (computation,) = ClassifierMetrics().computations()
    combiner = computation.combiner
    parts = [combiner.create_accumulator() for _ in range(2)]
    for number in range(12):
        inputs = tfma.metrics.StandardMetricInputs(
            labels=labels[[number]],
            predictions={'candidate': Judged(*(each[[number]] for each in judged))},
        )
        parts[number % 2] = combiner.add_input(parts[number % 2], inputs)

    outputs = combiner.extract_output(combiner.merge_accumulators(parts))

    assert [len(part) for part in parts] == [2, 2]  # of six images each
    found = {key.name: value for key, value in outputs.items()}
    expected = estimates(judged)
    assert set(expected) == set(METRICS)
    for key, estimate in expected.items():
        assert found[key] == pytest.approx(estimate.value)
