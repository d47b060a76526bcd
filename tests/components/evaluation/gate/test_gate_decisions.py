"""Decisions of the gate, from predictions to rules, with TFMA's own check of the minimum."""

import numpy as np
import pytest
from tensorflow_model_analysis.evaluators.metrics_validator import validate_metrics
from tensorflow_model_analysis.metrics.metric_types import MetricKey

from common.errors import ConfigError
from components.evaluation.comparison import compare
from components.evaluation.config import EvaluationConfig
from components.evaluation.gate.rules import decide
from components.evaluation.metrics.classifier_metrics import _Combiner, eval_config
from components.evaluation.metrics.estimates import Judged, estimates
from components.evaluation.results import (
    ACCURACY,
    Evaluation,
    ModelResult,
    SliceResult,
    wilson,
)
from components.serving_check.measurements import Measurements
from pipeline.config.recipe import Recipe
from pipeline.local.run_recipe import run

MEASURED = Measurements(problems=(), checks=('one image', 'two'), size_mb=9.4, latency_ms=21.25)
UNUSABLE = Measurements(problems=('no signature serve_images', 'it does not load'), size_mb=1)


def answers(*classes):
    """Labels and predictions of classes, each given as (images, right, predicted if wrong)."""
    labels = np.repeat(np.arange(len(classes)), [images for images, _, _ in classes])
    predicted = [
        each
        for label, (images, right, wrong) in enumerate(classes)
        for each in [label] * right + [wrong] * (images - right)
    ]
    return labels, np.array(predicted)


def judged(labels, predicted, classes):
    rows = np.full((len(labels), classes), 0.1 / classes, np.float32)
    rows[np.arange(len(labels)), predicted] += 0.9
    return Judged(labels, predicted, rows)


def model_result(found: Judged, *slices):
    confusion = np.zeros((found.classes, found.classes), int)
    np.add.at(confusion, (found.labels[found.finite], found.predicted[found.finite]), 1)
    metrics = estimates(found)
    overall = SliceResult(feature='', name='', images=len(found.labels), metrics=metrics)
    return ModelResult(slices=(overall, *slices), confusion=confusion.tolist())


def gate(labels, predicted, reference=None, *, slices=(), measured=MEASURED, val=None, **config):
    """The decision on predictions, compared with those of a reference model if there is one."""
    settings, classes = EvaluationConfig(**config), max(int(labels.max()) + 1, 2)
    found = judged(labels, predicted, classes)
    metrics = _Combiner(MetricKey('all', 'candidate')).extract_output([found])
    tfma_config = eval_config(['candidate'], settings, np.bincount(labels).tolist())
    validated = validate_metrics(((), metrics), tfma_config).metric_validations_per_slice
    comparison = None
    if reference is not None:
        keys = {'metric': settings.metric, 'margin': settings.margin}
        comparison = compare(labels, predicted, reference, **keys)
    evaluation = Evaluation(
        classes=tuple(f'class{label}' for label in range(classes)),
        threshold=0.5,
        candidate=model_result(found, *slices),
    )
    return decide(
        evaluation,
        not any(each.failures for each in validated),
        comparison,
        measured,
        settings,
        val,
    )


def result_of(decision, rule):
    return [each.result for each in decision.rules if each.rule == rule]


def changed(labels, predicted, better=0, worse=0):
    """Predictions of a reference model: `better` and `worse` images differ from `predicted`."""
    reference = predicted.copy()
    right, wrong = np.flatnonzero(predicted == labels), np.flatnonzero(predicted != labels)
    reference[right[:better]] = 1 - labels[right[:better]]
    reference[wrong[:worse]] = labels[wrong[:worse]]
    return reference


# The situations that the gate was rewritten for.


def test_six_images_worse_and_none_better_is_never_pushed():
    """0.980 over 1.000: within the margin of 0.05, and shown to be worse."""
    labels, predicted = answers((150, 147, 1), (150, 147, 0))

    decision = gate(labels, predicted, labels.copy(), margin=0.05)

    assert not decision.blessed
    assert decision.comparison.outcome == 'worse'
    assert (decision.comparison.better, decision.comparison.worse) == (0, 6)
    assert result_of(decision, 'reference model') == ['failed']


def test_better_balanced_accuracy_passes_though_the_accuracy_falls():
    """0.908 over 0.890 on imbalanced data."""
    labels, predicted = answers((900, 846, 1), (90, 79, 0))
    _, reference = answers((900, 873, 1), (90, 73, 0))

    decision = gate(labels, predicted, reference, metric='balanced_accuracy')

    assert decision.blessed
    assert decision.comparison.candidate == pytest.approx(0.909, abs=0.002)
    assert decision.is_new_reference
    assert not gate(labels, predicted, reference, metric='accuracy').blessed


@pytest.mark.parametrize('images', [20, 148])
def test_a_small_test_split_without_a_changed_prediction_passes(images):
    labels, predicted = answers((images // 2, images // 2 - 1, 1), (images // 2, images // 2, 0))

    decision = gate(labels, predicted, predicted.copy())

    assert decision.blessed
    assert decision.comparison.outcome == 'same'
    assert not decision.is_new_reference


def test_a_small_project_retrains_and_else_learns_how_many_images_decide():
    labels, predicted = answers((30, 28, 1), (30, 28, 0))
    assert gate(labels, predicted, changed(labels, predicted, better=4)).blessed

    decision = gate(labels, predicted, changed(labels, predicted, better=1, worse=2))

    assert decision.comparison.outcome == 'undecided'
    assert result_of(decision, 'reference model') == ['undecided']
    assert not decision.blessed
    assert 30 < decision.comparison.needed < 300
    assert sum(reason.count('more images') for reason in decision.objections) == 1


def test_a_shifted_test_split_is_reported_and_rejects_no_useful_model():
    """Chest X-rays: 0.80 on the test images with an AUC of 0.96, 0.97 on validation images."""
    labels, predicted = answers((234, 130, 1), (390, 385, 0))

    decision = gate(labels, predicted, val=0.97)

    assert decision.blessed
    assert [remark for remark in decision.remarks if '0.970 on validation' in remark]
    assert not [each for each in gate(labels, predicted, val=0.85).remarks if 'valid' in each]


@pytest.mark.parametrize('right', [0, 1])
def test_a_class_at_guessing_among_28_is_named(right):
    labels, predicted = answers(*((8, right if label == 5 else 6, 0) for label in range(28)))

    decision = gate(labels, predicted)

    assert decision.blessed
    weak = next(remark for remark in decision.remarks if remark.startswith('recall no better'))
    assert f'class5 ({right} of 8 images right)' in weak
    assert weak.count('class') == 1


def test_imbalance_of_30_to_1_with_and_without_class_weights():
    labels, frequent = answers((930, 930, 0), (31, 0, 0))  # without: always the frequent class
    _, weighted = answers((930, 880, 1), (31, 27, 0))

    for metric in ('accuracy', 'balanced_accuracy'):
        assert not gate(labels, frequent, metric=metric).blessed
    decision = gate(labels, weighted, frequent, metric='balanced_accuracy')
    assert decision.blessed
    assert decision.comparison.outcome == 'better'
    # With the accuracy as metric, it is below always answering the frequent class.
    assert result_of(gate(labels, weighted), 'minimum') == ['failed']


# Rules


@pytest.mark.parametrize(
    ('right', 'config', 'passed'),
    [
        (58, {}, False),  # 0.58 of 100 may be guessing
        (62, {}, True),
        (90, {'minimum': 0.9}, True),
        (89, {'minimum': 0.9}, False),
        (55, {'minimum': 0.5}, True),  # the user's value wins
        (62, {'metric': 'balanced_accuracy'}, True),
        (57, {'metric': 'balanced_accuracy'}, False),
    ],
)
def test_minimum(right, config, passed):
    labels, predicted = answers((50, right // 2, 1), (50, right - right // 2, 0))
    decision = gate(labels, predicted, **config)
    assert result_of(decision, 'minimum') == ['passed' if passed else 'failed']
    assert decision.minimum == config.get('minimum', 0.5)
    assert decision.value == pytest.approx(right / 100)


def test_first_model_needs_only_the_minimum():
    labels, predicted = answers((50, 48, 1), (50, 48, 0))
    decision = gate(labels, predicted)
    assert decision.blessed
    assert decision.is_new_reference
    assert result_of(decision, 'reference model') == ['not applied']


@pytest.mark.parametrize(
    ('better', 'worse', 'margin', 'outcome', 'blessed'),
    [
        (15, 15, 0.02, 'not worse', True),
        (60, 2, 0.02, 'better', True),
        (2, 60, 0.2, 'worse', False),  # whatever the margin is
        (40, 50, 0.01, 'undecided', False),
        (15, 15, 0.0, 'undecided', False),  # only a better model
    ],
)
def test_comparison_with_the_reference_model(better, worse, margin, outcome, blessed):
    labels, predicted = answers((500, 400, 1), (500, 400, 0))
    reference = changed(labels, predicted, better, worse)

    decision = gate(labels, predicted, reference, margin=margin)

    assert (decision.comparison.outcome, decision.blessed) == (outcome, blessed)
    assert decision.is_new_reference == (better > worse)


@pytest.mark.parametrize(
    ('predicted', 'reason'),
    [(0, 'predicts class0 for every image'), (-1, 'predictions are NaN')],
)
def test_rejects_constant_and_nan_predictions(predicted, reason):
    labels, _ = answers((20, 20, 0), (20, 20, 1))
    decision = gate(labels, np.full(40, predicted), minimum=0.1, measured=UNUSABLE)
    assert decision.objections[0].startswith(reason)
    assert decision.objections[-2:] == UNUSABLE.problems


def test_names_classes_that_are_never_predicted_or_have_no_test_image():
    labels, predicted = answers((40, 38, 2), (0, 0, 0), (40, 38, 0), (2, 0, 0))

    decision = gate(labels, predicted)

    assert decision.blessed
    assert {remark.rpartition(': ')[2] for remark in decision.remarks} == {
        'class3 (0 of 2 images right)',
        'class1, class3',
        'class1',
    }


def slice_of(feature, name, images, accuracy):
    metrics = {ACCURACY: wilson(round(accuracy * images), images)}
    return SliceResult(feature=feature, name=name, images=images, metrics=metrics)


@pytest.mark.parametrize(
    ('floors', 'expected'),
    [
        ({'class': 0.9}, 'failed'),
        ({'class': 0.9, 'class.cats': 0.8}, 'passed'),  # that of a slice overrides
        ({'size': 0.9}, 'not applied'),  # few images
        ({'class.bird': 0.9}, 'not applied'),  # no images
        ({'aspect': 0.9}, 'not applied'),
        ({'auc': 0.5}, 'passed'),
        ({'log_loss': 0.1}, 'failed'),
        ({'balanced_accuracy': 0.96}, 'failed'),
    ],
)
def test_floors_of_slices_and_metrics(floors, expected):
    slices = slice_of('class', 'cats', 200, 0.86), slice_of('size', 'small', 49, 0.5)
    labels, predicted = answers((100, 95, 1), (100, 95, 0))

    decision = gate(labels, predicted, slices=slices, floors=floors)

    assert result_of(decision, 'floor') == [expected]
    assert decision.blessed == (expected != 'failed')


@pytest.mark.parametrize(
    ('limit', 'measured', 'expected'),
    [
        ({'max_megabytes': 9.4}, MEASURED, 'passed'),
        ({'max_megabytes': 9}, MEASURED, 'failed'),
        ({'max_latency_ms': 30}, MEASURED, 'passed'),
        ({'max_latency_ms': 21.24}, MEASURED, 'failed'),
        ({'max_latency_ms': 30}, UNUSABLE, 'failed'),
        ({}, UNUSABLE, 'failed'),
        ({}, MEASURED, 'passed'),
    ],
)
def test_serving_check_and_limits(limit, measured, expected):
    labels, predicted = answers((100, 95, 1), (100, 95, 0))
    assert gate(labels, predicted, measured=measured, **limit).rules[-1].result == expected


@pytest.mark.parametrize(
    ('config', 'words'),
    [
        ({'floors': {'colour': 0.9}}, 'colour is not a slice or a metric; .* macro_f1'),
        ({'floors': {'size.tall': 0.9}}, 'size has small, medium, large'),
        ({'floors': {'size': 90}}, 'is not between 0 and 1'),
        ({'floors': {'accuracy': 0.9}}, 'is the metric that decides; set minimum'),
    ],
)
def test_rejects_invalid_config(config, words):
    with pytest.raises(ValueError, match=words):
        EvaluationConfig(**config)


@pytest.mark.parametrize(
    ('floors', 'message'),
    [
        (
            {'class.cats': 0.9, 'class': 0.8, 'source.class.dog': 0.8, 'class.cat': 0.9},
            'unknown class cat; the data has the classes cats',
        ),
        ({'top_5_accuracy': 0.9}, 'top_5_accuracy needs 6 classes'),
    ],
)
def test_run_rejects_floor_that_the_classes_do_not_have(
    tmp_path, make_image_folder, floors, message
):
    images = make_image_folder(tmp_path / 'pets', per_class=2)
    recipe = Recipe(
        name='pets',
        workdir=tmp_path / 'runs',
        data={'source': 'folder', 'path': images},
        evaluation={'floors': floors},
    )
    with pytest.raises(ConfigError, match=message):
        run(recipe)
