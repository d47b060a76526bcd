import pytest

from common.errors import ConfigError
from components.evaluation.config import EvaluationConfig, check_floors, slice_name
from components.evaluation.gate.rules import apply_rules, format_apart
from components.evaluation.results import (
    ACCURACY,
    BRIER,
    LOG_LOSS,
    Estimate,
    Evaluation,
    ModelResult,
    SliceResult,
)
from components.image_example_gen.sources.base.config import DataConfig
from components.serving_check.measurements import Measurements
from pipeline.config.recipe import Recipe
from pipeline.local.run_recipe import run

MEASURED = Measurements(
    problems=(), checks=('one image', 'eight at once'), size_mb=9.4, latency_ms=21.25
)
UNUSABLE = Measurements(problems=('no signature serve_images', 'it does not load'), size_mb=1)


def slice_of(feature, name, images, accuracy, **others):
    values = {ACCURACY: accuracy, **others}
    metrics = {key: Estimate(value=value) for key, value in values.items()}
    return SliceResult(feature=feature, name=name, images=images, metrics=metrics)


def result(accuracy=0.95, *slices, confusion=((190, 10), (10, 190)), loss=0.2, images=None):
    images = sum(map(sum, confusion)) if images is None else images
    overall = slice_of('', '', images, accuracy, **{LOG_LOSS: loss, BRIER: loss})
    return ModelResult(
        slices=(overall, *slices), confusion=confusion, roc=(), precision_recall=(), calibration=()
    )


NAN = result(None, confusion=((0, 0), (0, 0)), loss=None, images=400)
CATS = slice_of('class', 'cats', 200, 0.95)


def apply(candidate=None, previous=None, measured=MEASURED, infra_validated=None, **config):
    evaluation = Evaluation(
        classes=('cats', 'dogs'),
        threshold=0.5,
        candidate=candidate or result(),
        baseline=previous,
    )
    return apply_rules(evaluation, measured, EvaluationConfig(**config), infra_validated)


def ruling(rule, *args, **kwargs):
    """(passed, reason) of the one ruling of a rule."""
    (found,) = rulings(rule, *args, **kwargs)
    return found


def rulings(rule, *args, **kwargs):
    verdict = apply(*args, **kwargs)
    return [(each.passed, each.reason) for each in verdict.rulings if each.rule == rule]


@pytest.mark.parametrize(
    ('accuracy', 'baseline', 'passed', 'reason'),
    [
        (0.95, 0.9, True, 'accuracy 0.950, baseline 0.90 (n=400)'),
        (0.9, 0.9, True, 'accuracy 0.900, baseline 0.90 (n=400)'),
        (0.89, 0.9, False, 'accuracy 0.890, baseline 0.90 (n=400)'),
        (0.95, 0.955, False, 'accuracy 0.950, baseline 0.955 (n=400)'),
        (0.89996, 0.9, False, 'accuracy 0.89996, baseline 0.90 (n=400)'),
    ],
)
def test_baseline(accuracy, baseline, passed, reason):
    assert ruling('baseline', result(accuracy), baseline_accuracy=baseline) == (passed, reason)


def test_format_apart_uses_three_digits_if_enough():
    assert format_apart(0.9, 0.9) == '0.900'
    assert format_apart(0.95, 0.9) == '0.950'


@pytest.mark.parametrize(
    ('accuracy', 'max_drop', 'passed', 'words'),
    [
        (0.95, 0.0, True, 'accuracy 0.950, last blessed model 0.950 on the same images, '),
        (0.94, 0.0, False, 'maximum drop 0.00 (n=400)'),
        (0.94, 0.01, True, 'maximum drop 0.01 (n=400)'),
        (0.9375, 0.01, False, 'accuracy 0.938, last blessed model 0.950'),
    ],
)
def test_drop(accuracy, max_drop, passed, words):
    found, reason = ruling('drop', result(accuracy), result(0.95), max_drop=max_drop)

    assert found is passed
    assert words in reason


@pytest.mark.parametrize(
    ('previous', 'reason'),
    [
        (None, 'no previous blessed model to compare with'),
        (NAN, 'the last blessed model predicts NaN on these images; not compared'),
    ],
)
def test_drop_is_not_applicable_without_usable_baseline(previous, reason):
    assert ruling('drop', previous=previous) == (None, reason)


def test_floor_names_slice_threshold_and_count():
    dark = slice_of('brightness', 'dark', 212, 0.8826)

    assert ruling('floor', result(0.95, dark), floors={'brightness.dark': 0.9}) == (
        False,
        'accuracy on dark images 0.883, floor 0.90 (n=212)',
    )


def test_floor_of_slice_overrides_floor_of_feature():
    cats, dogs = slice_of('class', 'cats', 200, 0.86), slice_of('class', 'dogs', 200, 0.86)
    floors = {'class': 0.9, 'class.dogs': 0.8}

    assert rulings('floor', result(0.95, cats, dogs), floors=floors) == [
        (False, 'accuracy on images of cats 0.860, floor 0.90 (n=200)'),
        (True, 'accuracy on images of dogs 0.860, floor 0.80 (n=200)'),
    ]


def test_floor_is_not_enforced_on_few_images():
    few = result(0.95, slice_of('size', 'small', 49, 0.5))

    assert ruling('floor', few, floors={'size': 0.9}) == (
        None,
        'accuracy on small images 0.500, floor 0.90 (n=49); not enforced below 50 images',
    )
    assert ruling('floor', few, floors={'size': 0.9}, min_images=49)[0] is False


@pytest.mark.parametrize(
    ('floor', 'images'),
    [
        ('class.cat', 'images of cat'),
        ('source.phone', 'images from phone'),
        ('sharpness.medium', 'images of medium sharpness'),
        ('aspect', 'slices by aspect'),
    ],
)
def test_floor_without_images_is_not_enforced(floor, images):
    assert ruling('floor', result(0.95, CATS), floors={floor: 0.9}) == (
        None,
        f'the test split has no {images}; floor 0.90 not enforced',
    )


def test_overridden_floor_of_feature_counts_as_used():
    assert ruling('floor', result(0.95, CATS), floors={'class': 0.9, 'class.cats': 0.8}) == (
        True,
        'accuracy on images of cats 0.950, floor 0.80 (n=200)',
    )


def test_slice_without_floor_has_no_ruling():
    assert rulings('floor', result(0.95, slice_of('aspect', 'tall', 200, 0.1))) == []


@pytest.mark.parametrize(
    ('confusion', 'passed', 'reason'),
    [
        (((190, 10), (10, 190)), True, 'predicts 2 of 2 classes'),
        (((380, 0), (20, 0)), False, 'predicts cats for every image; test has 2 classes'),
        (((400, 0), (0, 0)), None, 'not applicable: the test split has only images of cats'),
    ],
)
def test_rejects_model_with_constant_predictions(confusion, passed, reason):
    assert ruling('one class', result(confusion=confusion)) == (passed, reason)


def test_nan_predictions_skip_rules_of_accuracy():
    verdict = apply(NAN, result(), floors={'class': 0.9})

    assert not verdict.blessed
    assert verdict.objections == ('predictions are NaN, as after a diverged training',)
    assert [each.rule for each in verdict.rulings] == ['answers', 'serving']


def test_rejects_model_without_test_images():
    empty = result(None, confusion=((0, 0), (0, 0)), loss=None)

    assert ruling('answers', empty) == (False, 'the test split has no images')


def test_every_problem_of_serving_check_is_a_reason():
    assert rulings('serving', measured=UNUSABLE) == [
        (False, 'no signature serve_images'),
        (False, 'it does not load'),
    ]
    assert ruling('serving') == (True, '2 serving checks passed')


@pytest.mark.parametrize(('limit', 'passed'), [(9.4, True), (9, False)])
def test_size_limit(limit, passed):
    reason = f'SavedModel size 9.4 MB, limit {limit} MB'

    assert ruling('size', max_megabytes=limit) == (passed, reason)


@pytest.mark.parametrize(
    ('measured', 'limit', 'shown', 'passed'),
    [
        (MEASURED, 30, '21.2 ms', True),
        (MEASURED, 21.24, '21.25 ms', False),
        (UNUSABLE, 30, 'not measured', False),
    ],
)
def test_latency_limit(measured, limit, shown, passed):
    reason = f'latency per image on one core {shown}, limit {limit} ms'

    assert ruling('latency', measured=measured, max_latency_ms=limit) == (passed, reason)


def test_rules_without_limit_have_no_ruling():
    assert rulings('size') == rulings('latency') == rulings('infra validator') == []


@pytest.mark.parametrize(('validated', 'verb'), [(True, 'loaded'), (False, 'did not load')])
def test_infra_validator(validated, verb):
    reason = f'InfraValidator: the model server {verb} the model'

    assert ruling('infra validator', infra_validated=validated) == (validated, reason)


def test_blesses_model_without_failed_rules():
    few = slice_of('class', 'cats', 9, 0.1)

    verdict = apply(result(0.95, few), floors={'class': 0.9})

    assert verdict.blessed
    assert verdict.objections == ()
    assert [each.rule for each in verdict.rulings] == [
        'answers',
        'one class',
        'baseline',
        'drop',
        'floor',
        'serving',
    ]


@pytest.mark.parametrize(
    ('feature', 'name', 'text'),
    [
        ('brightness', 'medium', 'images of medium brightness'),
        ('aspect', 'square', 'square images'),
        ('class', 'cats', 'images of cats'),
        ('source', 'phone', 'images from phone'),
    ],
)
def test_slice_name(feature, name, text):
    assert slice_name(feature, name) == text


def test_rejects_floor_for_unknown_class():
    config = EvaluationConfig(floors={'class.dog': 0.9, 'class': 0.8, 'source.class.dog': 0.8})
    with pytest.raises(ConfigError, match=r'unknown class dog; the data has .* cats, dogs$'):
        check_floors(config, ('cats', 'dogs'))
    check_floors(config, ('cats', 'dog'))


def test_run_rejects_floor_for_unknown_class(tmp_path, make_image_folder):
    images = make_image_folder(tmp_path / 'pets', per_class=2)
    data = DataConfig(source='folder', path=images)
    recipe = Recipe(
        name='pets', workdir=tmp_path / 'runs', data=data, evaluation={'floors': {'class.cat': 0.9}}
    )
    with pytest.raises(ConfigError, match='unknown class cat; the data has the classes cats'):
        run(recipe)
