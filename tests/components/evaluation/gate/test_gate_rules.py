"""What the rules say of what was measured, in words for a person."""

import pytest

from common.errors import ConfigError
from components.evaluation.config import EvaluationConfig, check_floors
from components.evaluation.gate.rules import beside, judge, words_of_slice
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

SERVES = Measurements(
    problems=(), checks=('one image', 'eight at once'), size_mb=9.4, latency_ms=21.25
)


def slice_of(feature, name, images, accuracy, **others):
    values = {ACCURACY: accuracy, **others}
    metrics = {key: Estimate(value=value) for key, value in values.items()}
    return SliceResult(feature=feature, name=name, images=images, metrics=metrics)


def result(accuracy=0.95, slices=(), confusion=((190, 10), (10, 190)), loss=0.2):
    images = sum(map(sum, confusion))
    overall = slice_of('', '', images, accuracy, **{LOG_LOSS: loss, BRIER: loss})
    return ModelResult(
        slices=(overall, *slices), confusion=confusion, roc=(), precision_recall=(), calibration=()
    )


def broken():
    return result(None, confusion=((0, 0), (0, 0)), loss=None).model_copy(
        update={'slices': (slice_of('', '', 400, None, **{LOG_LOSS: None, BRIER: None}),)}
    )


@pytest.fixture
def ruled():
    """`ruled(rule, candidate, ...)`: what one rule says, (passed, reason) of each ruling."""

    def rule_on(rule, candidate=None, before=None, measured=SERVES, infra=None, **config):
        evaluation = Evaluation(
            classes=('cats', 'dogs'),
            threshold=0.5,
            candidate=candidate or result(),
            baseline=before,
        )
        verdict = judge(evaluation, measured, EvaluationConfig(**config), infra)
        return [(each.passed, each.reason) for each in verdict.rulings if each.rule == rule]

    return rule_on


def test_a_slice_below_its_floor_is_told_with_its_floor_and_count(ruled):
    dark = slice_of('brightness', 'dark', 212, 0.8826)

    assert ruled('floor', result(slices=[dark]), floors={'brightness.dark': 0.9}) == [
        (False, 'accuracy on dark images 0.883, floor 0.90 (n=212)')
    ]


def test_accuracy_is_told_beside_the_baseline_whether_it_is_enough_or_not(ruled):
    assert ruled('baseline') == [(True, 'accuracy 0.950, baseline 0.90 (n=400)')]
    assert ruled('baseline', result(0.89)) == [(False, 'accuracy 0.890, baseline 0.90 (n=400)')]
    assert ruled('baseline', result(0.9)) == [(True, 'accuracy 0.900, baseline 0.90 (n=400)')]
    assert ruled('baseline', baseline_accuracy=0.955) == [
        (False, 'accuracy 0.950, baseline 0.955 (n=400)')
    ]


def test_rounding_does_not_make_a_reason_contradict_itself(ruled):
    assert ruled('baseline', result(0.89996)) == [
        (False, 'accuracy 0.89996, baseline 0.90 (n=400)')
    ]
    assert beside(0.9, 0.9) == '0.900'
    assert beside(0.95, 0.9) == '0.950'


@pytest.mark.parametrize(
    ('now', 'allowed', 'ruling'),
    [
        (
            0.95,
            0.0,
            (
                True,
                'accuracy 0.950, last blessed model 0.950 on the same images, '
                'it may not be worse (n=400)',
            ),
        ),
        (
            0.94,
            0.0,
            (
                False,
                'accuracy 0.940, last blessed model 0.950 on the same images, '
                'it may not be worse (n=400)',
            ),
        ),
        (
            0.94,
            0.01,
            (
                True,
                'accuracy 0.940, last blessed model 0.950 on the same images, '
                'it may be at most 0.01 worse (n=400)',
            ),
        ),
        (
            0.9375,
            0.01,
            (
                False,
                'accuracy 0.938, last blessed model 0.950 on the same images, '
                'it may be at most 0.01 worse (n=400)',
            ),
        ),
    ],
)
def test_a_model_may_be_so_much_worse_than_the_last_one_and_no_more(ruled, now, allowed, ruling):
    assert ruled('drop', result(now), result(0.95), max_drop=allowed) == [ruling]


def test_without_a_model_before_nothing_is_compared(ruled):
    assert ruled('drop') == [(None, 'there is no blessed model before to compare it with')]


def test_a_model_before_that_answers_nan_does_not_block(ruled):
    assert ruled('drop', before=broken()) == [
        (None, 'the last blessed model answers NaN on these images: they are not compared')
    ]


def test_the_floor_of_a_slice_goes_before_that_of_its_feature(ruled):
    slices = [slice_of('class', 'cats', 200, 0.86), slice_of('class', 'dogs', 200, 0.86)]

    assert ruled('floor', result(slices=slices), floors={'class': 0.9, 'class.dogs': 0.8}) == [
        (False, 'accuracy on images of cats 0.860, floor 0.90 (n=200)'),
        (True, 'accuracy on images of dogs 0.860, floor 0.80 (n=200)'),
    ]


def test_a_slice_of_few_images_has_no_vote_and_that_is_told(ruled):
    few = slice_of('size', 'small', 49, 0.5)

    assert ruled('floor', result(slices=[few]), floors={'size': 0.9}) == [
        (None, 'accuracy on small images 0.500, floor 0.90 (n=49): no vote below 50 images')
    ]
    assert ruled('floor', result(slices=[few]), floors={'size': 0.9}, min_images=49)[0][0] is False


@pytest.mark.parametrize(
    ('floor', 'what'),
    [
        ('class.cat', 'images of cat'),
        ('source.phone', 'images from phone'),
        ('sharpness.medium', 'images of medium sharpness'),
        ('aspect', 'any slice by aspect'),
    ],
)
def test_a_floor_for_what_the_test_split_does_not_have_is_told(ruled, floor, what):
    cats = slice_of('class', 'cats', 200, 0.95)

    assert ruled('floor', result(slices=[cats]), floors={floor: 0.9}) == [
        (None, f'nothing was measured on {what}: the floor 0.90 has no vote')
    ]


def test_a_floor_of_a_feature_all_of_whose_slices_have_their_own_is_not_called_unused(ruled):
    cats = slice_of('class', 'cats', 200, 0.95)

    assert ruled('floor', result(slices=[cats]), floors={'class': 0.9, 'class.cats': 0.8}) == [
        (True, 'accuracy on images of cats 0.950, floor 0.80 (n=200)')
    ]


def test_slices_without_a_floor_are_not_judged(ruled):
    assert ruled('floor', result(slices=[slice_of('aspect', 'tall', 200, 0.1)])) == []


def test_a_model_that_says_one_class_is_not_blessed_whatever_its_accuracy(ruled):
    lazy = result(0.95, confusion=((380, 0), (20, 0)))

    assert ruled('one class', lazy, baseline_accuracy=0.5) == [
        (False, 'it says cats for every image, and test has 2 classes')
    ]
    assert ruled('one class') == [(True, 'it says 2 of 2 classes')]


def test_a_test_split_of_one_class_cannot_tell_a_model_that_says_one(ruled):
    ((passed, reason),) = ruled('one class', result(1.0, confusion=((400, 0), (0, 0))))

    assert passed is None
    assert reason.startswith('test has images of cats alone')


def test_answers_that_are_no_numbers_are_told_and_nothing_is_made_of_them():
    evaluation = Evaluation(
        classes=('cats', 'dogs'), threshold=0.5, candidate=broken(), baseline=result()
    )

    verdict = judge(evaluation, SERVES, EvaluationConfig(floors={'class': 0.9}))

    assert not verdict.blessed
    assert verdict.objections == (
        'its answers are not numbers (NaN), as those of a training that diverged',
    )
    assert [each.rule for each in verdict.rulings] == ['answers', 'serving']


def test_without_test_images_no_model_is_blessed(ruled):
    nothing = result(None, confusion=((0, 0), (0, 0)), loss=None)

    assert ruled('answers', nothing) == [(False, 'there are no test images to judge it by')]


def test_every_problem_of_serving_is_a_reason(ruled):
    bad = Measurements(problems=('serve_images is missing', 'it does not load'), size_mb=1)

    assert ruled('serving', measured=bad) == [
        (False, 'serve_images is missing'),
        (False, 'it does not load'),
    ]
    assert ruled('serving') == [(True, 'it serves: 2 checks of the SavedModel in a fresh process')]


@pytest.mark.parametrize(('limit', 'passed'), [(9.4, True), (9, False)])
def test_size_is_compared_with_its_limit(ruled, limit, passed):
    reason = f'the SavedModel has 9.4 MB, limit {limit} MB'

    assert ruled('size', max_megabytes=limit) == [(passed, reason)]


@pytest.mark.parametrize(
    ('limit', 'shown', 'passed'), [(30, '21.2', True), (21.24, '21.25', False)]
)
def test_latency_is_compared_with_its_limit(ruled, limit, shown, passed):
    reason = f'latency of one image on one core {shown} ms, limit {limit} ms'

    assert ruled('latency', max_latency_ms=limit) == [(passed, reason)]


def test_a_latency_that_was_not_measured_is_not_within_a_limit(ruled):
    silent = Measurements(problems=('it does not load',), size_mb=1)

    assert ruled('latency', measured=silent, max_latency_ms=30) == [
        (False, 'latency of one image on one core was not measured, limit 30 ms')
    ]


def test_limits_that_are_not_given_have_no_line(ruled):
    assert ruled('size') == ruled('latency') == ruled('infra validator') == []


def test_what_infra_validator_says_counts(ruled):
    assert ruled('infra validator', infra=True)[0][0] is True
    assert ruled('infra validator', infra=False) == [
        (False, 'no model server could load it, as InfraValidator found')
    ]


def test_a_verdict_blesses_if_no_rule_says_no_and_begins_with_the_whole_split():
    few = slice_of('class', 'cats', 9, 0.1)
    evaluation = Evaluation(classes=('cats', 'dogs'), threshold=0.5, candidate=result(slices=[few]))

    verdict = judge(evaluation, SERVES, EvaluationConfig(floors={'class': 0.9}))

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
    ('feature', 'name', 'words'),
    [
        ('brightness', 'medium', 'images of medium brightness'),
        ('aspect', 'square', 'square images'),
        ('class', 'cats', 'images of cats'),
        ('source', 'phone', 'images from phone'),
    ],
)
def test_slices_are_called_what_a_person_calls_them(feature, name, words):
    assert words_of_slice(feature, name) == words


def test_a_floor_for_a_class_that_the_data_does_not_have_is_refused():
    config = EvaluationConfig(floors={'class.dog': 0.9, 'class': 0.8, 'source.class.dog': 0.8})
    with pytest.raises(ConfigError, match=r'names the class dog; the data has .* cats, dogs$'):
        check_floors(config, ('cats', 'dogs'))
    check_floors(config, ('cats', 'dog'))


def test_a_run_does_not_begin_with_such_a_floor(tmp_path, make_image_folder):
    images = make_image_folder(tmp_path / 'pets', per_class=2)
    data = DataConfig(source='folder', path=images)
    recipe = Recipe(
        name='pets', workdir=tmp_path / 'runs', data=data, evaluation={'floors': {'class.cat': 0.9}}
    )
    with pytest.raises(ConfigError, match='names the class cat; the data has the classes cats'):
        run(recipe)
