"""TFX's Evaluator with our metric and slices, and `read_evaluation`."""

import numpy as np
import pytest

from common import features
from components.evaluation import results
from components.evaluation.config import EvaluationConfig, SliceEdges
from components.evaluation.metrics.counts import count
from components.evaluation.metrics.estimates import estimates
from components.evaluation.metrics.evaluation_files import MAX_SOURCES, read_evaluation

CLASSES = ('cats', 'dogs')
EDGES = SliceEdges(brightness=(0.2, 0.4), sharpness=(1, 2), size=(0.01, 0.02), aspect=(0.9, 1.1))


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
        features.SOURCE: ('phone', 'web', 'web')[number % 3],
        'candidate': float(random.beta(4, 2) if label else random.beta(2, 4)),
        'baseline': 0.25,
    }


RECORDS = [record(number) for number in range(120)]
FOREIGN = {features.LABEL: 1, features.CLASS_NAME: 'dogs', 'candidate': 0.9, 'baseline': 0.25}


@pytest.fixture(scope='module')
def evaluation(evaluate):
    """Two models with the threshold 0.6; one record has no slicing features but its class."""
    folder = evaluate(
        [*RECORDS, FOREIGN],
        CLASSES,
        baseline=True,
        threshold=0.6,
        config=EvaluationConfig(edges=EDGES),
    )
    return read_evaluation(folder, CLASSES, 0.6)


def expected(records, model='candidate'):
    labels = np.array([each[features.LABEL] for each in records])
    given = np.array([[each[model]] for each in records], np.float32)
    return estimates(count(labels, given, 0.6), 2)


def as_numbers(metrics):
    return {name: (each.value, each.low, each.high) for name, each in metrics.items()}


def slice_of(model, feature, name):
    (found,) = [each for each in model.slices if (each.feature, each.name) == (feature, name)]
    return found


@pytest.mark.parametrize('model', ['candidate', 'baseline'])
def test_measures_all_metrics_of_both_models(evaluation, model):
    overall = getattr(evaluation, model).overall

    assert overall.images == 121
    assert list(overall.metrics) == list(results.METRICS)
    for name, numbers in as_numbers(expected([*RECORDS, FOREIGN], model)).items():
        assert as_numbers(overall.metrics)[name] == pytest.approx(numbers)


def test_confusion_matrix_uses_threshold(evaluation):
    confusion = np.zeros((2, 2), int)
    for each in (*RECORDS, FOREIGN):
        confusion[each[features.LABEL], int(each['candidate'] >= 0.6)] += 1

    assert evaluation.candidate.confusion == tuple(map(tuple, confusion.tolist()))
    assert evaluation.baseline.confusion == ((60, 0), (61, 0))


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
        ('source', 'phone'),
    ]


def test_value_at_edge_is_in_upper_slice(evaluation):
    assert slice_of(evaluation.candidate, 'size', 'large').images == 80  # 0.02 megapixels


def test_measures_slice_on_its_images(evaluation):
    dark = [each for each in RECORDS if each[features.BRIGHTNESS] < 0.2]

    found = slice_of(evaluation.candidate, 'brightness', 'dark')

    assert found.images == len(dark)
    for name, numbers in as_numbers(expected(dark)).items():
        assert as_numbers(found.metrics)[name] == pytest.approx(numbers)


def test_accuracy_of_class_slice_is_recall(evaluation):
    found = slice_of(evaluation.candidate, 'class', 'dogs')

    dogs = [each for each in (*RECORDS, FOREIGN) if each[features.LABEL]]
    recall = np.mean([each['candidate'] >= 0.6 for each in dogs])
    assert found.metrics[results.ACCURACY].value == pytest.approx(recall)
    assert results.AUC not in found.metrics


def test_record_without_feature_is_in_no_slice(evaluation):
    for feature in ('brightness', 'sharpness', 'size', 'aspect', 'source'):
        images = [each.images for each in evaluation.candidate.slices if each.feature == feature]
        assert sum(images) == len(RECORDS)


def test_curves_of_each_model(evaluation):
    assert evaluation.baseline.roc == ((0, 0), (1, 1))
    assert len(evaluation.candidate.roc) > 50
    assert [bucket.images for bucket in evaluation.baseline.calibration] == [121]


def test_three_classes_with_nan_prediction(evaluate):
    classes = ('a', 'b', 'c')
    given = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [float('nan')] * 3, [0.5, 0.4, 0.1]]
    labels = [0, 1, 2, 1]
    named = [
        {
            features.LABEL: label,
            features.CLASS_NAME: classes[label],
            'candidate': answer,
            features.SOURCE: 'web',
        }
        for label, answer in zip(labels, given, strict=True)
    ]

    evaluation = read_evaluation(evaluate(named, classes), classes, 0.5)

    model = evaluation.candidate
    assert evaluation.baseline is None
    assert {each.value for each in model.overall.metrics.values()} == {None}
    assert slice_of(model, 'class', 'c').metrics[results.ACCURACY].value is None
    assert slice_of(model, 'class', 'b').metrics[results.ACCURACY].value == 0.5
    assert model.confusion == ((1, 0, 0), (1, 1, 0), (0, 0, 0))
    assert [each.feature for each in model.slices] == ['', 'class', 'class', 'class']


def test_keeps_largest_sources(evaluate):
    sources = [str(number) for number in range(40) for _ in range(1 + (number >= 20))]
    named = [
        {**FOREIGN, features.LABEL: place % 2, features.SOURCE: source}
        for place, source in enumerate(sources)
    ]

    evaluation = read_evaluation(evaluate(named, CLASSES), CLASSES, 0.5)

    names = [each.name for each in evaluation.candidate.slices if each.feature == 'source']
    assert len(names) == MAX_SOURCES
    assert {int(name) for name in names} == set(range(20, 40))


def test_source_name_may_be_invalid_utf8(evaluate):
    named = [{**FOREIGN, features.SOURCE: source} for source in (b'caf\xe9', 'café'.encode())]

    evaluation = read_evaluation(evaluate(named, CLASSES), CLASSES, 0.5)

    names = {each.name for each in evaluation.candidate.slices if each.feature == 'source'}
    assert names == {'caf\ufffd', 'café'}
    assert evaluation.model_dump_json()


def test_rejects_folder_without_evaluation(tmp_path):
    with pytest.raises(ValueError, match='has no metrics of the overall slice'):
        read_evaluation(tmp_path, CLASSES, 0.5)
