import pytest
from components.evaluation.gate.verdict import Verdict

from common.errors import ConfigError
from components.evaluation.config import EvaluationConfig
from components.evaluation.gate.component import log_undecided
from components.evaluation.gate.rules import apply_rules, becomes_anchor
from components.evaluation.results import (
    ACCURACY,
    BALANCED_ACCURACY,
    Estimate,
    Evaluation,
    ModelResult,
    PairedCounts,
    Pairs,
    SliceResult,
    wilson,
)
from components.serving_check.measurements import Measurements
from pipeline.config.recipe import Recipe, load_recipe
from pipeline.local.run_recipe import run

MEASURED = Measurements(
    problems=(), checks=('one image', 'eight at once'), size_mb=9.4, latency_ms=21.25
)
UNUSABLE = Measurements(problems=('no signature serve_images', 'it does not load'), size_mb=1)
LATENCY = 'latency per image on one core'


def slice_of(feature, name, images, accuracy, pairs=None):
    metrics = {ACCURACY: Estimate(value=None)}
    if accuracy is not None:
        metrics = {ACCURACY: wilson(round(accuracy * images), images)}
        metrics[BALANCED_ACCURACY] = metrics[ACCURACY]
    return SliceResult(feature=feature, name=name, images=images, metrics=metrics, pairs=pairs)


def result(accuracy=0.95, *slices, confusion=((190, 10), (10, 190)), images=400, pairs=None):
    overall = slice_of('', '', images, accuracy, pairs)
    return ModelResult(
        slices=(overall, *slices), confusion=confusion, roc=(), precision_recall=(), calibration=()
    )


def compared(better, worse, images=1000, log_loss=0.0, accuracy=0.95):
    """A model, of whose images the candidate gets `better` right and `worse` wrong.

    `log_loss` is the mean difference of the candidate, equal for all images.
    """

    def pairs(share):
        counts = PairedCounts(
            only_candidate_right=int(better * share),
            only_other_right=int(worse * share),
            both_right=int((images - better - worse) * share),
        )
        squares = images * share * log_loss**2
        total = images * share * log_loss
        return Pairs(counts=counts, log_loss=total, log_loss_squares=squares, finite=images * share)

    halves = [slice_of('class', name, images // 2, accuracy, pairs(0.5)) for name in 'ab']
    return result(accuracy, *halves, images=images, pairs=pairs(1))


NAN = result(None, confusion=((0, 0), (0, 0)))


def apply(
    candidate=None, live=None, best=None, measured=MEASURED, classes=('cats', 'dogs'), **config
):
    models = {'candidate': candidate or result(), 'baseline': live, 'anchor': best}
    evaluation = Evaluation(classes=classes, threshold=0.5, **models)
    return apply_rules(evaluation, measured, EvaluationConfig(**config))


def rulings(rule, **arguments):
    """(result, reason) of each ruling of a rule."""
    verdict = apply(**arguments)
    return [(each.result, each.reason) for each in verdict.rulings if each.rule == rule]


@pytest.mark.parametrize(
    ('accuracy', 'config', 'found', 'reason'),
    [
        (0.95, {'baseline_accuracy': 0.9}, 'passed', 'accuracy 0.950, baseline 0.90 (n=400)'),
        (0.9, {'baseline_accuracy': 0.9}, 'passed', 'accuracy 0.900, baseline 0.90 (n=400)'),
        (0.95, {'baseline_accuracy': 0.955}, 'failed', 'accuracy 0.950, baseline 0.955 (n=400)'),
        (0.8975, {}, 'failed', 'accuracy 0.897, baseline 0.90 (n=400)'),
        (
            0.92,
            {'judge_by': 'lower bound'},
            'failed',
            'lower bound of accuracy 0.889, baseline 0.90 (n=400)',
        ),
        (
            0.95,
            {'judge_by': 'lower bound'},
            'passed',
            'lower bound of accuracy 0.924, baseline 0.90 (n=400)',
        ),
    ],
)
def test_baseline(accuracy, config, found, reason):
    first, balanced = rulings('baseline', candidate=result(accuracy), **config)
    assert first == (found, reason)
    assert balanced == (found, reason.replace('accuracy', 'balanced accuracy'))


@pytest.mark.parametrize(
    ('images', 'found', 'reason'),
    [
        (2, 'failed', '2 test images, evaluation.min_images 50'),
        (50, 'passed', '50 test images, evaluation.min_images 50'),
    ],
)
def test_few_test_images_bless_no_model(images, found, reason):
    confusion = ((images // 2, 0), (0, images // 2))
    arguments = {'candidate': result(1.0, confusion=confusion, images=images)}

    assert rulings('test images', **arguments) == [(found, reason)]
    assert apply(**arguments).blessed == (found == 'passed')


@pytest.mark.parametrize(
    ('images', 'better', 'worse', 'blessed'),
    [(80, 4, 4, True), (80, 2, 4, True), (80, 0, 16, False), (28, 4, 4, False)],
    ids=['equal', 'undecided', 'inferior', 'too few images'],
)
def test_recipe_small_blesses_a_model_unless_it_is_shown_to_be_worse(
    images, better, worse, blessed
):
    config = load_recipe('small').evaluation.model_dump()
    arguments = {'candidate': result(images=images), 'live': compared(better, worse, images)}

    assert apply(**arguments, **config).blessed == blessed


@pytest.mark.parametrize(
    ('confusion', 'least'),
    [
        (((25, 0), (0, 25)), '0.90'),
        (((940, 10), (30, 20)), '0.95'),  # the share of the most frequent class
        (((25, 0, 0), (0, 25, 0), (0, 0, 25)), '0.80'),
    ],
)
def test_default_baseline_depends_on_classes_and_their_shares(confusion, least):
    classes = ('cats', 'dogs', 'birds')[: len(confusion)]
    candidate = result(0.96, confusion=confusion)

    (_, reason), _ = rulings('baseline', candidate=candidate, classes=classes)

    assert f'accuracy 0.960, baseline {least} (n=400)' in reason


def test_rejects_model_that_neglects_the_rare_class():
    """950 cats, all right, and 50 dogs, one right: an accuracy of 0.951."""
    candidate = result(0.951, confusion=((950, 0), (49, 1)), images=1000)
    balanced = {BALANCED_ACCURACY: Estimate(value=0.51, low=0.49, high=0.54)}
    overall = candidate.overall.model_copy(
        update={'metrics': {**candidate.overall.metrics, **balanced}}
    )

    verdict = apply(candidate.model_copy(update={'slices': (overall,)}), baseline_accuracy=0.9)

    assert verdict.objections == ('balanced accuracy 0.510, baseline 0.90 (n=1000)',)


@pytest.mark.parametrize(
    ('live', 'config', 'results', 'blessed'),
    [
        (compared(15, 15), {}, ['passed'] * 3, True),
        (compared(0, 0), {}, ['passed'] * 3, True),
        (compared(2, 60), {}, ['failed', 'failed', 'passed'], False),
        (compared(40, 50), {'max_drop': 0.01}, ['undecided', 'passed', 'passed'], False),
        (compared(40, 50), {'max_drop': 0.01, 'undecided': 'push'}, ['undecided'], True),
        (compared(15, 15), {'max_drop': 0.0}, ['undecided', 'passed', 'passed'], False),
        (compared(60, 2), {'max_drop': 0.0}, ['passed'] * 3, True),
        (compared(15, 15, log_loss=0.2), {}, ['passed', 'passed', 'failed'], False),
        (compared(15, 15, log_loss=0.2), {'max_log_loss_rise': 0.3}, ['passed'] * 3, True),
    ],
)
def test_comparison_with_live_model(live, config, results, blessed):
    verdict = apply(candidate=result(images=1000), live=live, **config)

    found = [each.result for each in verdict.rulings if each.rule == 'live model']
    assert found[: len(results)] == results
    assert verdict.blessed == blessed


def test_objection_states_that_a_comparison_is_undecided():
    verdict = apply(candidate=result(images=1000), live=compared(40, 50), max_drop=0.01)

    (objection,) = verdict.objections
    assert objection.startswith('undecided: accuracy 0.950, live model 0.950 on the same 1000')


@pytest.mark.parametrize('undecided', ['keep', 'push'])
def test_warns_of_an_undecided_model_that_is_accepted(undecided, caplog):
    verdict = apply(
        candidate=result(images=1000), live=compared(40, 50), max_drop=0.01, undecided=undecided
    )

    log_undecided(verdict)

    expected = ['undecided, and accepted as evaluation.undecided is push: accuracy 0.950, live']
    assert [each.getMessage()[: len(expected[0])] for each in caplog.records] == (
        expected if undecided == 'push' else []
    )


def test_reasons_of_a_comparison_have_the_numbers():
    accuracy, balanced, loss = (
        reason for _, reason in rulings('live model', live=compared(15, 20), max_drop=0.005)
    )

    words = 'accuracy 0.950, live model 0.950 on the same 1000 images: the difference is at least'
    assert accuracy.startswith(f'{words} -0.01')
    assert 'has to be above -0.005; at 3.5 % discordant pairs 1,000 images accept' in accuracy
    assert balanced.startswith(f'balanced {words}')
    assert loss.startswith('log loss 0 compared with the live model on the same 1000 images:')
    assert loss.endswith('has to be below +0.1')


def test_undecided_balanced_accuracy_names_the_rarest_class():
    _, (result, reason), _ = rulings('live model', live=compared(16, 20), max_balanced_drop=0.005)

    assert result == 'undecided'
    assert reason.endswith('has to be above -0.005; the rarest class has 500 of them')


@pytest.mark.parametrize(
    ('live', 'words'),
    [
        (NAN, 'the live model predicts NaN on these images; not compared'),
        (None, 'no live model of these classes to compare with'),
    ],
)
def test_first_model_needs_only_the_baseline(live, words):
    assert rulings('live model', live=live) == [('not applied', words)]
    assert apply(live=live).blessed


def test_candidate_is_compared_with_best_model_too():
    """Each step down may be small; the best model so far bounds their sum."""
    verdict = apply(live=compared(15, 15), best=compared(2, 60))

    assert not verdict.blessed
    assert all('best model so far 0.950 on the same 1000' in each for each in verdict.objections)


@pytest.mark.parametrize(
    ('live', 'best', 'expected'),
    [
        (None, None, True),
        (compared(60, 10), None, True),
        (compared(15, 14), None, False),  # by chance
        (compared(60, 10), compared(15, 14), False),
        (compared(15, 14), compared(60, 10), True),
    ],
)
def test_anchor_moves_to_a_model_that_is_shown_to_be_better(live, best, expected):
    models = {'candidate': result(), 'baseline': live, 'anchor': best}
    evaluation = Evaluation(classes=('cats', 'dogs'), threshold=0.5, **models)

    assert becomes_anchor(evaluation, Verdict(rulings=())) is expected
    rejected = apply(NAN)
    assert not becomes_anchor(evaluation, rejected)


def test_reads_rulings_of_earlier_versions():
    stored = [{'rule': 'drop', 'passed': each, 'reason': 'x'} for each in (True, False, None)]

    verdict = Verdict.model_validate({'rulings': stored})

    assert [each.result for each in verdict.rulings] == ['passed', 'failed', 'not applied']
    assert verdict.objections == ('x',)


FEW = 'accuracy on small images 0.490, floor 0.90 (n=49); undecided below 50 images'
NO_FLOOR = 'the test split has no {}; floor 0.90 undecided'


@pytest.mark.parametrize(
    ('floors', 'expected'),
    [
        ({'class': 0.9}, [('failed', 'accuracy on images of cats 0.860, floor 0.90 (n=200)')]),
        (  # the floor of a slice overrides that of its feature
            {'class': 0.9, 'class.cats': 0.8},
            [('passed', 'accuracy on images of cats 0.860, floor 0.80 (n=200)')],
        ),
        ({'size': 0.9}, [('undecided', FEW)]),
        ({'class.bird': 0.9}, [('undecided', NO_FLOOR.format('images of bird'))]),
        ({'aspect': 0.9}, [('undecided', NO_FLOOR.format('slices by aspect'))]),
        ({'source.web': 0.9}, [('undecided', NO_FLOOR.format('images from web'))]),
        ({'sharpness.medium': 0.9}, [('undecided', NO_FLOOR.format('images of medium sharpness'))]),
        ({}, []),
    ],
)
def test_floors(floors, expected):
    slices = slice_of('class', 'cats', 200, 0.86), slice_of('size', 'small', 49, 0.5)

    assert rulings('floor', candidate=result(0.95, *slices), floors=floors) == expected


@pytest.mark.parametrize(
    ('confusion', 'found', 'reason'),
    [
        (((190, 10), (10, 190)), 'passed', 'predicts 2 of 2 classes'),
        (((380, 0), (20, 0)), 'failed', 'predicts cats for every image; test has 2 classes'),
        (((400, 0), (0, 0)), 'failed', 'no judged test image is of dogs'),
    ],
)
def test_rejects_model_with_constant_predictions(confusion, found, reason):
    candidate = result(confusion=confusion)
    assert rulings('one class', candidate=candidate) == [(found, reason)]


def test_nan_predictions_and_problems_are_objections():
    verdict = apply(NAN, result(), measured=UNUSABLE, floors={'class': 0.9})

    assert not verdict.blessed
    nan = 'predictions are NaN, as after a diverged training'
    assert verdict.objections == (nan, *UNUSABLE.problems)


@pytest.mark.parametrize(
    ('limit', 'measured', 'found', 'reason'),
    [
        ({'max_megabytes': 9.4}, MEASURED, 'passed', 'SavedModel size 9.4 MB, limit 9.4 MB'),
        ({'max_megabytes': 9}, MEASURED, 'failed', 'SavedModel size 9.4 MB, limit 9 MB'),
        ({'max_latency_ms': 30}, MEASURED, 'passed', f'{LATENCY} 21.2 ms, limit 30 ms'),
        ({'max_latency_ms': 21.24}, MEASURED, 'failed', f'{LATENCY} 21.25 ms, limit 21.24 ms'),
        ({'max_latency_ms': 30}, UNUSABLE, 'failed', f'{LATENCY} not measured, limit 30 ms'),
        ({}, UNUSABLE, 'failed', UNUSABLE.problems[-1]),
        ({}, MEASURED, 'passed', '2 serving checks passed'),
    ],
)
def test_serving_check_and_limits(limit, measured, found, reason):
    ruling = apply(measured=measured, **limit).rulings[-1]
    assert (ruling.result, ruling.reason) == (found, reason)


SMALL = slice_of('size', 'small', 200, 0.846)
SLOW = Measurements(problems=(), checks=('one',), size_mb=9.42, latency_ms=21.25)


@pytest.mark.parametrize(
    ('arguments', 'config', 'remedy', 'settings'),
    [
        (
            {'candidate': result(0.8975)},
            {},
            'train on more or better images, or longer',
            {'evaluation.baseline_accuracy': 0.89},
        ),
        (
            {'candidate': result(0.92)},
            {'judge_by': 'lower bound'},
            'train on more or better images, or longer',
            {'evaluation.baseline_accuracy': 0.88},
        ),
        (
            {'candidate': result(1.0, confusion=((5, 0), (0, 5)), images=10)},
            {},
            'add images until the test split has 50; the accuracy on fewer is noise',
            {'evaluation.min_images': 10},
        ),
        (
            {'candidate': result(0.95, SMALL)},
            {'floors': {'size': 0.9, 'class': 0.5}},
            'train on more small images',
            {'evaluation.floors': {'size': 0.84, 'class': 0.5}},
        ),
        (
            {'candidate': result(images=1000), 'live': compared(40, 50)},
            {'max_drop': 0.01},
            'add test images, or train on more or better images',
            {'evaluation.undecided': 'push'},
        ),
        (
            {'candidate': result(images=1000), 'live': compared(2, 60)},
            {},
            'train on more or better images, or longer; until then the live model is the better',
            {'evaluation.max_drop': 0.08, 'evaluation.max_balanced_drop': 0.08},
        ),
        (
            {'candidate': result(images=1000), 'live': compared(15, 15, log_loss=0.2)},
            {},
            'train on more or better images, or longer; until then the live model is the better',
            {'evaluation.max_log_loss_rise': 0.22},
        ),
        (
            {'measured': SLOW},
            {'max_latency_ms': 20, 'max_megabytes': 9},
            'train a smaller network: lower trainer.alpha',
            {'evaluation.max_megabytes': 9.5, 'evaluation.max_latency_ms': 21.3},
        ),
        ({'candidate': NAN}, {}, 'lower the learning rates: trainer.feature_extraction.', {}),
        (
            {'candidate': result(confusion=((380, 0), (20, 0)))},
            {},
            'check the labels; train on more or better images, or longer',
            {},
        ),
        ({'measured': UNUSABLE}, {}, 'see the log of the run; no key allows it', {}),
    ],
)
def test_objection_has_a_remedy_and_settings_that_pass(arguments, config, remedy, settings):
    verdict = apply(**arguments, **config)

    assert not verdict.blessed
    assert '; '.join(verdict.remedies).startswith(remedy)
    assert verdict.settings == settings
    changed = {key.removeprefix('evaluation.'): value for key, value in verdict.settings.items()}
    assert apply(**arguments, **{**config, **changed}).blessed == bool(settings)


def test_settings_of_several_rules_allow_the_worst_of_them():
    slices = [slice_of('class', name, 200, share) for name, share in (('a', 0.8), ('b', 0.7))]

    verdict = apply(result(0.85, *slices), floors={'class': 0.9}, baseline_accuracy=0.86)

    assert verdict.settings == {
        'evaluation.baseline_accuracy': 0.85,
        'evaluation.floors': {'class': 0.7},
    }
    assert verdict.remedies[2:] == ('train on more images of a', 'train on more images of b')


def test_accepted_baseline_is_also_below_the_balanced_accuracy():
    """An accuracy of 0.93 is below the share of cats, a balanced one of 0.91 above 0.9."""
    candidate = result(0.93, confusion=((900, 50), (5, 45)), images=1000)
    metrics = {**candidate.overall.metrics, BALANCED_ACCURACY: Estimate(value=0.915)}
    overall = candidate.overall.model_copy(update={'metrics': metrics})
    candidate = candidate.model_copy(update={'slices': (overall,)})

    verdict = apply(candidate)

    assert verdict.objections == ('accuracy 0.930, baseline 0.95 (n=1000)',)
    assert verdict.settings == {'evaluation.baseline_accuracy': 0.91}
    assert apply(candidate, baseline_accuracy=0.91).blessed


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
