"""TFX's Evaluator with our metric and slices, and the reading of its files.

`tests/trainer/training/test_many_classes.py` has the same for three classes.
"""

import numpy as np
import pytest

from common import features
from components.evaluation.config import EvaluationConfig, SliceEdges
from components.evaluation.metrics import evaluation_files
from components.evaluation.metrics.counts import count
from components.evaluation.metrics.estimates import estimates
from components.evaluation.metrics.evaluation_files import read_accuracy, read_evaluation
from components.evaluation.results import ACCURACY, AUC, METRICS

CLASSES = ('cats', 'dogs')
EDGES = SliceEdges(brightness=(0.2, 0.4), sharpness=(1, 2), size=(0.01, 0.02), aspect=(0.9, 1.1))
SOURCES = ['phone', 'web', b'caf\xe9', 'café', 'web', 'web']  # one is invalid UTF-8


def record(number: int) -> dict[str, object]:
    random = np.random.default_rng(number)
    label = number % 2
    wide = 200 if number % 3 else 90
    return {
        features.LABEL: label,
        features.CLASS_NAME: CLASSES[label],
        features.BRIGHTNESS: float(random.uniform(0, 0.6)),
        features.SHARPNESS: 1.5,
        features.HEIGHT: 100,
        features.WIDTH: wide,
        features.ASPECT: wide / 100,
        features.SOURCE: SOURCES[number % 6],
        'candidate': float(random.beta(4, 2) if label else random.beta(2, 4)),
        'baseline': 0.25,
    }


# One record has no slicing feature but its class, and its baseline prediction is NaN.
FOREIGN = {
    features.LABEL: 1,
    features.CLASS_NAME: 'dogs',
    'candidate': 0.9,
    'baseline': float('nan'),
}
RECORDS = [*map(record, range(120)), FOREIGN]


@pytest.fixture(scope='module')
def folder(evaluate):
    return evaluate(RECORDS, CLASSES, threshold=0.6, config=EvaluationConfig(edges=EDGES))


@pytest.fixture(scope='module')
def evaluation(folder):
    return read_evaluation(folder, CLASSES, 0.6)


def slice_of(model, feature, name=''):
    (found,) = [each for each in model.slices if (each.feature, each.name) == (feature, name)]
    return found


@pytest.mark.parametrize(
    ('feature', 'name', 'belongs'),
    [
        ('', '', lambda record: True),
        ('brightness', 'dark', lambda record: record.get(features.BRIGHTNESS, 1) < 0.2),
    ],
)
def test_measures_slices_on_their_images(evaluation, feature, name, belongs):
    records = [each for each in RECORDS if belongs(each)]
    labels = np.array([each[features.LABEL] for each in records])
    given = np.array([[each['candidate']] for each in records], np.float32)

    found = slice_of(evaluation.candidate, feature, name)

    assert found.images == len(records)
    assert list(found.metrics) == list(METRICS)
    for key, expected in estimates(count(labels, given, 0.6)).items():
        assert tuple(dict(found.metrics[key]).values()) == pytest.approx(
            tuple(dict(expected).values())
        )


def test_class_slice_has_recall_and_no_auc(evaluation):
    dogs = slice_of(evaluation.candidate, 'class', 'dogs')

    said = [each['candidate'] >= 0.6 for each in RECORDS if each[features.LABEL]]
    assert dogs.metrics[ACCURACY].value == pytest.approx(np.mean(said))
    assert AUC not in dogs.metrics


def test_confusion_and_curves(evaluation):
    confusion = np.zeros((2, 2), int)
    for each in RECORDS:
        confusion[each[features.LABEL], int(each['candidate'] >= 0.6)] += 1

    assert evaluation.candidate.confusion == tuple(map(tuple, confusion.tolist()))
    assert len(evaluation.candidate.roc) > 50


def test_baseline_with_nan_prediction_has_metrics_only_without_it(evaluation):
    baseline = evaluation.baseline

    assert {each.value for each in baseline.overall.metrics.values()} == {None}
    assert slice_of(baseline, 'class', 'cats').metrics[ACCURACY].value == 1
    assert baseline.confusion == ((60, 0), (60, 0))
    assert baseline.roc == ((0, 0), (1, 1))
    assert [bucket.images for bucket in baseline.calibration] == [120]


def test_slices_are_sorted(evaluation):
    found = [(each.feature, each.name) for each in evaluation.candidate.slices]

    assert found == [
        ('', ''),
        ('class', 'cats'),
        ('class', 'dogs'),
        ('brightness', 'dark'),
        ('brightness', 'medium'),
        ('brightness', 'bright'),
        ('sharpness', 'medium'),
        ('size', 'small'),
        ('size', 'large'),
        ('aspect', 'square'),
        ('aspect', 'wide'),
        ('source', 'web'),
        ('source', 'café'),
        ('source', 'caf\ufffd'),
        ('source', 'phone'),
    ]


def test_value_at_edge_is_in_upper_slice(evaluation):
    assert slice_of(evaluation.candidate, 'size', 'large').images == 80  # 0.02 megapixels


def test_record_without_feature_is_in_no_slice(evaluation):
    for feature in ('brightness', 'sharpness', 'size', 'aspect', 'source'):
        images = [each.images for each in evaluation.candidate.slices if each.feature == feature]
        assert sum(images) == len(RECORDS) - 1


def test_keeps_largest_sources(folder, monkeypatch):
    monkeypatch.setattr(evaluation_files, 'MAX_SOURCES', 2)

    slices = read_evaluation(folder, CLASSES, 0.6).candidate.slices

    assert [each.name for each in slices if each.feature == 'source'] == ['web', 'café']


def test_read_accuracy_is_that_of_candidate(folder, evaluation):
    assert read_accuracy(folder) == evaluation.candidate.overall.metrics[ACCURACY].value


def test_folder_without_evaluation(tmp_path):
    assert read_accuracy(tmp_path) is None
    with pytest.raises(ValueError, match='has no metrics of the overall slice'):
        read_evaluation(tmp_path, CLASSES, 0.5)
