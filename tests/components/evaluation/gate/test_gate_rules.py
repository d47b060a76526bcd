import pytest

from common.errors import ConfigError
from components.evaluation.config import EvaluationConfig
from components.evaluation.gate.rules import apply_rules
from components.evaluation.results import ACCURACY, Estimate, Evaluation, ModelResult, SliceResult
from components.serving_check.measurements import Measurements
from pipeline.config.recipe import Recipe
from pipeline.local.run_recipe import run

MEASURED = Measurements(
    problems=(), checks=('one image', 'eight at once'), size_mb=9.4, latency_ms=21.25
)
UNUSABLE = Measurements(problems=('no signature serve_images', 'it does not load'), size_mb=1)
LATENCY = 'latency per image on one core'


def slice_of(feature, name, images, accuracy):
    metrics = {ACCURACY: Estimate(value=accuracy)}
    return SliceResult(feature=feature, name=name, images=images, metrics=metrics)


def result(accuracy=0.95, *slices, confusion=((190, 10), (10, 190))):
    overall = slice_of('', '', 400, accuracy)
    return ModelResult(
        slices=(overall, *slices), confusion=confusion, roc=(), precision_recall=(), calibration=()
    )


NAN = result(None, confusion=((0, 0), (0, 0)))


def apply(candidate=None, previous=None, measured=MEASURED, **config):
    models = {'candidate': candidate or result(), 'baseline': previous}
    evaluation = Evaluation(classes=('cats', 'dogs'), threshold=0.5, **models)
    return apply_rules(evaluation, measured, EvaluationConfig(**config))


def rulings(rule, **arguments):
    """(passed, reason) of each ruling of a rule."""
    verdict = apply(**arguments)
    return [(each.passed, each.reason) for each in verdict.rulings if each.rule == rule]


@pytest.mark.parametrize(
    ('accuracy', 'baseline', 'passed', 'reason'),
    [
        (0.95, 0.9, True, 'accuracy 0.950, baseline 0.90 (n=400)'),
        (0.9, 0.9, True, 'accuracy 0.900, baseline 0.90 (n=400)'),
        (0.95, 0.955, False, 'accuracy 0.950, baseline 0.955 (n=400)'),
        (0.89996, 0.9, False, 'accuracy 0.89996, baseline 0.90 (n=400)'),
    ],
)
def test_baseline(accuracy, baseline, passed, reason):
    found = rulings('baseline', candidate=result(accuracy), baseline_accuracy=baseline)
    assert found == [(passed, reason)]


@pytest.mark.parametrize(
    ('previous', 'accuracy', 'max_drop', 'passed', 'words'),
    [
        (result(0.95), 0.95, 0.0, True, 'accuracy 0.950, last blessed model 0.950 on the same'),
        (result(0.95), 0.94, 0.0, False, 'maximum drop 0.00 (n=400)'),
        (result(0.95), 0.94, 0.01, True, 'maximum drop 0.01 (n=400)'),
        (result(0.95), 0.9375, 0.01, False, 'accuracy 0.938, last blessed model 0.950'),
        (NAN, 0.95, 0.0, None, 'the last blessed model predicts NaN on these images'),
        (None, 0.95, 0.0, None, 'no previous blessed model to compare with'),
    ],
)
def test_drop(previous, accuracy, max_drop, passed, words):
    ((found, reason),) = rulings(
        'drop', candidate=result(accuracy), previous=previous, max_drop=max_drop
    )
    assert found is passed
    assert words in reason


FEW = 'accuracy on small images 0.500, floor 0.90 (n=49); not enforced below 50 images'
NO_FLOOR = 'the test split has no {}; floor 0.90 not enforced'


@pytest.mark.parametrize(
    ('floors', 'expected'),
    [
        ({'class': 0.9}, [(False, 'accuracy on images of cats 0.860, floor 0.90 (n=200)')]),
        (  # the floor of a slice overrides that of its feature
            {'class': 0.9, 'class.cats': 0.8},
            [(True, 'accuracy on images of cats 0.860, floor 0.80 (n=200)')],
        ),
        ({'size': 0.9}, [(None, FEW)]),
        ({'class.bird': 0.9}, [(None, NO_FLOOR.format('images of bird'))]),
        ({'aspect': 0.9}, [(None, NO_FLOOR.format('slices by aspect'))]),
        ({'source.web': 0.9}, [(None, NO_FLOOR.format('images from web'))]),
        ({'sharpness.medium': 0.9}, [(None, NO_FLOOR.format('images of medium sharpness'))]),
        ({}, []),
    ],
)
def test_floors(floors, expected):
    slices = slice_of('class', 'cats', 200, 0.86), slice_of('size', 'small', 49, 0.5)

    assert rulings('floor', candidate=result(0.95, *slices), floors=floors) == expected


@pytest.mark.parametrize(
    ('confusion', 'passed', 'reason'),
    [
        (((190, 10), (10, 190)), True, 'predicts 2 of 2 classes'),
        (((380, 0), (20, 0)), False, 'predicts cats for every image; test has 2 classes'),
        (((400, 0), (0, 0)), None, 'not applicable: the test split has only images of cats'),
    ],
)
def test_rejects_model_with_constant_predictions(confusion, passed, reason):
    found = rulings('one class', candidate=result(confusion=confusion))
    assert found == [(passed, reason)]


def test_nan_predictions_and_problems_are_objections():
    verdict = apply(NAN, result(), UNUSABLE, floors={'class': 0.9})

    assert not verdict.blessed
    nan = 'predictions are NaN, as after a diverged training'
    assert verdict.objections == (nan, *UNUSABLE.problems)


@pytest.mark.parametrize(
    ('limit', 'measured', 'passed', 'reason'),
    [
        ({'max_megabytes': 9.4}, MEASURED, True, 'SavedModel size 9.4 MB, limit 9.4 MB'),
        ({'max_megabytes': 9}, MEASURED, False, 'SavedModel size 9.4 MB, limit 9 MB'),
        ({'max_latency_ms': 30}, MEASURED, True, f'{LATENCY} 21.2 ms, limit 30 ms'),
        ({'max_latency_ms': 21.24}, MEASURED, False, f'{LATENCY} 21.25 ms, limit 21.24 ms'),
        ({'max_latency_ms': 30}, UNUSABLE, False, f'{LATENCY} not measured, limit 30 ms'),
        ({}, UNUSABLE, False, UNUSABLE.problems[-1]),
        ({}, MEASURED, True, '2 serving checks passed'),
    ],
)
def test_serving_check_and_limits(limit, measured, passed, reason):
    ruling = apply(measured=measured, **limit).rulings[-1]
    assert (ruling.passed, ruling.reason) == (passed, reason)


@pytest.mark.parametrize(
    ('config', 'words'),
    [
        ({'floors': {'colour': 0.9}}, 'colour is not a slice; slice by class, brightness'),
        ({'floors': {'size.tall': 0.9}}, 'size has small, medium, large'),
        ({'floors': {'size': 90}}, 'less than or equal to 1'),
    ],
)
def test_rejects_invalid_config(config, words):
    with pytest.raises(ValueError, match=words):
        EvaluationConfig(**config)


def test_run_rejects_floor_for_unknown_class(tmp_path, make_image_folder):
    images = make_image_folder(tmp_path / 'pets', per_class=2)
    floors = {'class.cats': 0.9, 'class': 0.8, 'source.class.dog': 0.8, 'class.cat': 0.9}
    recipe = Recipe(
        name='pets',
        workdir=tmp_path / 'runs',
        data={'source': 'folder', 'path': images},
        evaluation={'floors': floors},
    )
    with pytest.raises(ConfigError, match='unknown class cat; the data has the classes cats'):
        run(recipe)
