"""A TFX run of the Evaluator on stored predictions, and of ModelGate."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from common import console, features
from common.blessing import ANCHOR_MODEL_ID
from common.metadata_queries import custom_property
from components.evaluation.config import EvaluationConfig
from components.evaluation.gate.component import ModelGate
from components.evaluation.gate.verdict import read_verdict
from components.evaluation.held_out.component import HeldOutImages
from components.evaluation.held_out.held_out_files import HeldOut, write_held_out
from components.evaluation.metrics import classifier_metrics, evaluation_files
from components.evaluation.metrics.classifier_metrics import ClassifierMetrics
from components.evaluation.metrics.component import Evaluator
from components.evaluation.metrics.estimates import Judged, estimates
from components.evaluation.metrics.evaluation_files import read_accuracy, read_evaluation
from components.evaluation.predictions.component import Predictions
from components.evaluation.predictions.prediction_files import write_predictions
from components.evaluation.predictions.split_images import RecordedImage
from components.evaluation.results import ACCURACY, METRICS, PairedCounts
from components.serving_check.measurements import MEASUREMENTS_FILE, Measurements
from pipeline.local.runner import ProgressDagRunner

CLASSES, THRESHOLDS = ('cats', 'dogs'), {'candidate': 0.6, 'baseline': 0.2}
SOURCES = ['phone', 'web', b'caf\xe9', 'café', 'web', 'web']  # one is invalid UTF-8
CONFIG = EvaluationConfig(
    baseline_accuracy=0.5,
    min_images=10,
    floors={'brightness.dark': 0.3, 'class.birds': 0.9},
)


def record(number: int) -> dict[str, object]:
    """Features of a test image; `candidate` and `baseline` are predictions."""
    random = np.random.default_rng(number)
    label = number % 2
    width = 600 if number % 3 else 270
    return {
        features.LABEL: label,
        features.CLASS_NAME: CLASSES[label],
        features.BRIGHTNESS: float(random.uniform(0.2, 0.8)),
        features.SHARPNESS: 6.5,
        features.HEIGHT: 300,
        features.WIDTH: width,
        features.ASPECT: width / 300,
        features.SOURCE: SOURCES[number % 6],
        'candidate': float(random.beta(4, 2) if label else random.beta(2, 4)),
        'baseline': 0.25,
    }


LEFT_OUT = RecordedImage(b'seen in training', 0, '')
# The last record has no slicing feature but its class, and a NaN prediction of the baseline.
LAST = {features.LABEL: 1, features.CLASS_NAME: 'dogs', 'candidate': 0.9, 'baseline': float('nan')}
RECORDS = [*map(record, range(120)), LAST]


def predicted(record, name):
    """Label and probability that a model predicts; each has its own threshold."""
    probability = np.array([record[name]], np.float32)
    if np.isnan(probability[0]):
        return -1, probability
    return int(probability[0] >= THRESHOLDS[name]), probability


@component
def Train(model: OutputArtifact[standard_artifacts.Model]) -> None:
    pass


@component
def Predict(predictions: OutputArtifact[Predictions], name: Parameter[str]) -> None:
    """Stores the predictions as Predictor does; none for an unknown model."""
    if name not in THRESHOLDS:
        return
    rows = [(image(number), *predicted(each, name)) for number, each in enumerate(RECORDS)]
    rows.append((LEFT_OUT, 0, np.array([0.5], np.float32)))
    write_predictions(Path(predictions.uri), rows)


def image(number: int) -> RecordedImage:
    sliced = {*features.SLICED_TEXTS, *features.SLICED_NUMBERS}
    measures = {
        key: value.decode(errors='replace') if isinstance(value, bytes) else value
        for key, value in RECORDS[number].items()
        if key in sliced
    }
    return RecordedImage(bytes([number]), RECORDS[number][features.LABEL], '', measures=measures)


@component
def Split(held_out: OutputArtifact[HeldOutImages], kept: Parameter[int]) -> None:
    dropped = [LEFT_OUT.key, *(image(number).key for number in range(kept, len(RECORDS)))]
    counts = HeldOut(dropped=len(dropped), kept=kept)
    write_held_out(Path(held_out.uri), counts, dropped)


@component
def Serve(infra_blessing: OutputArtifact[standard_artifacts.InfraBlessing]) -> None:
    found = Measurements(problems=(), checks=('one image',), size_mb=1)
    Path(infra_blessing.uri, MEASUREMENTS_FILE).write_text(found.model_dump_json())


def pipeline(folder: Path, kept: int = len(RECORDS), *, candidate_is_best=False) -> Pipeline:
    train, before, serve = Train(), Train().with_id('Before'), Serve()
    names = {
        'predictions': 'candidate',
        'baseline_predictions': 'baseline',
        'anchor_predictions': 'candidate' if candidate_is_best else '',
    }
    predictions = {key: Predict(name=name).with_id(f'Predict_{key}') for key, name in names.items()}
    models = {'model': train.outputs['model'], 'baseline_model': before.outputs['model']}
    if candidate_is_best:
        models['anchor_model'] = train.outputs['model']
    split = Split(kept=kept)
    evaluator = Evaluator(
        held_out=split.outputs['held_out'],
        **{key: node.outputs['predictions'] for key, node in predictions.items()},
    )
    gate = ModelGate(
        **models,
        evaluation=evaluator.outputs['evaluation'],
        infra_blessing=serve.outputs['infra_blessing'],
        config=CONFIG.model_dump_json(),
        classes=json.dumps(CLASSES),
        threshold=THRESHOLDS['candidate'],
    )
    nodes = [train, before, serve, *predictions.values(), split, evaluator, gate]
    database = sqlite_metadata_connection_config(str(folder / 'metadata.sqlite'))
    return Pipeline('gate', str(folder), components=nodes, metadata_connection_config=database)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Artifacts by node and output, and the console output."""
    runner, output = ProgressDagRunner(), io.StringIO()
    with console.output_to(output):
        runner.run(pipeline(tmp_path_factory.mktemp('gate')))
    artifacts = {
        (node, key): each
        for node, result in runner.results.items()
        for key, (each,) in result.outputs.items()
    }
    return artifacts, output.getvalue()


@pytest.fixture(scope='module')
def folder(run):
    """Folder of the ModelEvaluation."""
    return Path(run[0]['Evaluator', 'evaluation'].uri)


@pytest.fixture(scope='module')
def evaluation(folder):
    return read_evaluation(folder, CLASSES, THRESHOLDS['candidate'])


def slice_of(model, feature, name=''):
    (found,) = [each for each in model.slices if (each.feature, each.name) == (feature, name)]
    return found


def test_gate_blesses_model_with_reason_per_rule(run):
    artifacts, output = run
    blessing = artifacts['ModelGate', 'blessing']

    assert custom_property(blessing, 'blessed') == 1
    assert custom_property(blessing, 'current_model_id') == artifacts['Train', 'model'].id
    assert custom_property(blessing, 'baseline_model_id') == artifacts['Before', 'model'].id
    assert Path(blessing.uri, 'BLESSED').is_file()
    rulings = read_verdict(Path(artifacts['ModelGate', 'verdict'].uri)).rulings
    unused = 'the test split has no images of birds; floor 0.90 undecided'
    assert [(each.rule, each.result) for each in rulings] == [
        ('finite', 'passed'),
        ('test images', 'passed'),
        ('one class', 'passed'),
        ('baseline', 'passed'),
        ('baseline', 'passed'),
        ('live model', 'not applied'),
        ('floor', 'passed'),
        ('floor', 'undecided'),
        ('serving', 'passed'),
    ]
    assert rulings[7].reason == unused
    assert f'\n{unused}\n' in output


@pytest.mark.slow
def test_best_model_so_far_is_not_compared_with_itself(tmp_path):
    """An earlier recipe: the Trainer's cache returns a model that later ones did not surpass."""
    runner = ProgressDagRunner()
    with console.output_to(io.StringIO()):
        runner.run(pipeline(tmp_path, candidate_is_best=True))

    outputs = runner.results['ModelGate'].outputs
    ((blessing,), (verdict,)) = outputs['blessing'], outputs['verdict']
    rulings = read_verdict(Path(verdict.uri)).rulings
    assert 'best model so far' not in [each.rule for each in rulings]
    model = runner.results['Train'].outputs['model'][0].id
    assert custom_property(blessing, ANCHOR_MODEL_ID) == model


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
    given = np.hstack([1 - given, given])

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
    baseline = evaluation.baseline

    assert {each.value for each in baseline.overall.metrics.values()} == {None}
    assert slice_of(baseline, 'class', 'cats').metrics[ACCURACY].value == 0
    assert baseline.confusion == ((0, 60), (0, 60))
    assert baseline.roc == ((0, 0), (1, 1))
    assert [bucket.images for bucket in baseline.calibration] == [120]
    assert len(evaluation.candidate.roc) > 50


@pytest.mark.slow
def test_no_model_is_blessed_if_no_test_image_is_left(tmp_path):
    runner = ProgressDagRunner()
    with console.output_to(io.StringIO()):
        runner.run(pipeline(tmp_path, kept=0))

    verdict = read_verdict(Path(runner.results['ModelGate'].outputs['verdict'][0].uri))
    (reason,) = verdict.objections
    assert reason.startswith('no test image is left, because the models were trained on all of')


def test_each_model_has_its_own_threshold(evaluation):
    """The baseline predicts 0.25 for each image, which is above its threshold."""
    assert evaluation.threshold == THRESHOLDS['candidate']
    assert slice_of(evaluation.baseline, 'class', 'cats').metrics[ACCURACY].value == 0


def test_counts_pairs_by_slice(evaluation):
    cats = [each for each in RECORDS if not each[features.LABEL]]
    right = sum(each['candidate'] < THRESHOLDS['candidate'] for each in cats)

    pairs = slice_of(evaluation.baseline, 'class', 'cats').pairs

    counts = PairedCounts(only_candidate_right=right, both_wrong=len(cats) - right)
    assert (pairs.counts, pairs.finite) == (counts, len(cats))
    losses = [-np.log(1 - each['candidate']) + np.log(0.75) for each in cats]
    assert pairs.log_loss == pytest.approx(sum(losses))
    assert pairs.log_loss_squares == pytest.approx(sum(np.square(losses)))
    assert evaluation.baseline.overall.pairs.finite == len(RECORDS) - 1  # one is NaN
    assert evaluation.candidate.overall.pairs is None


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
        assert images == len(RECORDS) - 1  # one record has no such feature


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
        assert found[key].value.value == pytest.approx(estimate.value)
