"""Text and sections of the report of a run."""

import base64
import hashlib
import re

import pytest
from example_run import (
    FLOORS,
    LIVE,
    REASON,
    REJECTED,
    compared,
    example,
    gate,
    images_for,
)

from components.conversion.conversion_results import ConversionResult
from components.evaluation.results import METRICS, Estimate
from pipeline.report.page import plots, tables
from pipeline.report.page.plots import Scale
from pipeline.report.page.render import render_page
from pipeline.report.page_data import PageImages

SECTIONS = (
    'Changed images, Metrics, Classes, Confusion matrix, Slices, Ranking and calibration, '
    'Most confident mistakes, Robustness, Data, Training, Serving check, Other formats, Run time, '
    'Lineage, Model card, Configuration'
)
RUN = example()
MATRIX = ((5, 1, 0), (0, 0, 3), (0, 0, 0))  # no image of the third class


@pytest.fixture(scope='module')
def page():
    return render_page(RUN, images_for(RUN))


def test_each_metric_has_a_name():
    assert tuple(tables.NAMES) == METRICS


@pytest.fixture
def text_of(words):
    """`text_of(run)`: the text of its page without images."""
    return lambda run: words(render_page(run, PageImages()))


def with_models(**models):
    """The example with changed values of the evaluation's models."""
    found = RUN.evaluation
    changed = {
        name: getattr(found, name).model_copy(update=values) for name, values in models.items()
    }
    return RUN.model_copy(update={'evaluation': found.model_copy(update=changed)})


def test_page_loads_nothing_and_allows_only_its_script(page):
    script = re.search('<script>(.*)</script>', page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search('Content-Security-Policy" content="(.*?)"', page)[1]

    assert re.findall(r'(?:src|href)="(?!#|data:)', page) == []
    assert 'http' not in page.partition('</style>')[2]
    assert page.count('<script') == 1
    assert policy.startswith("default-src 'none'; ")
    assert re.search('script-src [^;]*', policy)[0] == f"script-src 'sha256-{digest}'"
    assert len(page) < 2_000_000


def test_sections_are_in_order_and_in_the_contents(page):
    contents = re.search('<nav.*?</nav>', page, re.DOTALL)[0]
    linked = re.findall('href="#(.*?)">(.*?)</a>', contents)

    assert ', '.join(re.findall('<h2>(.*?)</h2>', page)) == SECTIONS
    assert ', '.join(title for _, title in linked) == f'Gate decision, {SECTIONS}'
    assert [each for each, _ in linked if f' id="{each}"' not in page] == []


@pytest.mark.parametrize(
    'text',
    [
        'Live as version 1795284347',
        '✓ accuracy 0.970, minimum 0.95 (n=402)',
        '○ accuracy on small images 0.8, floor 0.9 (n=15) not applied',
        'reference model 95.5% 9 images got better, 3 worse',
        'before cats, now dogs cats/worse.0.jpg',
        '2 of 9, chosen at random.',
        '! never predicted: owls',
        'share of correct predictions 0.9701 0.9486–0.9828 0.9552 0.9303–0.9715 +0.0149',  # noqa: RUF001
        # Each 201 images with 6 mistakes: of both classes, 195 of 201 predictions are correct.
        'cats 201 0.970 0.936–0.986 0.970 0.936–0.986 0.970',  # noqa: RUF001
        'ROC, of dogs',
        'predicted dogs (99.8%), labelled cats cats/cat.0.jpg',
        'small few needs 50 images to be judged 15',
        '2,009 images read; 7 quarantined (4 truncated, 3 not an image); 2 duplicates skipped.',
        'dogs/<b>.jpg not an image it is text',
        'float16 0.9701 0.9486–0.9828 100.0% 4.6 5.1 within limit int8 0.9104',  # noqa: RUF001
        'onnx 0.9701 0.9486–0.9828 100.0% 4.6 5.1 within limit',  # noqa: RUF001
        'StatisticsGen cached 0.1 Trainer 37.9',
        '5 x 5 1,280 4 1,030,000 830,000 head 1 1 1,281 1,281',
        'min_images: 50',
        'Temperature scaling divides the logits by 1.56. On 405 images of the validation split, ',
        'Weaker on dark images: 92.5% (86.4% to 96.0%) of 120 images.',
        'Too few test images: small images (15).',
        'Sensitive to darkness: 73.0% at severity 2, 97.0% on clean images.',
    ],
)
def test_page_shows(page, words, text):
    assert text in words(page)


@pytest.mark.parametrize(
    ('changes', 'texts'),
    [
        (
            {'state': {**LIVE, 'unchanged': True}},
            ['Live as version 1795284347 ; unchanged by this run'],
        ),
        ({'state': {**LIVE, 'live_version': '1795999999'}}, ['newest version is 1795999999']),
        ({'state': {**LIVE, 'version': None}}, ['Nothing was pushed', 'Version 1795284347 is']),
        ({'state': {**LIVE, 'version': None, 'live_version': None}}, ['There is no live model.']),
        (
            {'converted': ConversionResult(max_drop=0.02, skipped='it is not blessed')},
            ['Nothing is converted: it is not blessed'],
        ),
        (
            {'recipe': {'evaluation': {'floors': {**FLOORS, 'brightness.dark': 0.95}}}},
            ['dark below floor 0.95 120 0.925'],
        ),
        (
            {'recipe': {'report': {'intended_use': 'Sorting pictures.'}}},
            ['intended use Sorting pictures.'],
        ),
        (
            {'stages': [RUN.stages[0].model_copy(update={'discarded': 'stage 1 is discarded'})]},
            ['stage 1 is discarded'],
        ),
        (
            {'robustness': {'clean': None, 'corrupted': (), 'mistakes': ()}},
            ['None: all predictions are correct.', 'The recipe has no corruptions.'],
        ),
        (
            {'calibration': RUN.calibration.model_copy(update={'problem': 'all are correct'})},
            ['No temperature scaling: all are correct. On 405 images'],
        ),
        ({'classes': ('cats', 'dogs', 'owls')}, ['ROC, one-vs-rest, micro average']),
        (
            {'held_out': RUN.held_out.model_copy(update={'dropped': 3})},
            ['3 further images were left out'],
        ),
        ({'decisions_on_test_images': 4}, ['4 models were evaluated on this test split']),
        ({'warnings': ('the colours drifted',)}, ['Warnings the colours drifted']),
        ({'fine_tuning': 'trains from block 6 on'}, ['trains from block 6 on']),
    ],
    ids=str,
)
def test_page_of_other_runs_shows(text_of, changes, texts):
    text = text_of(example(**changes))

    assert [each for each in texts if each not in text] == []


def test_loss_by_a_corruption_is_next_to_its_accuracy(text_of):
    assert 'noise 93.0% −4.0' in text_of(RUN)  # noqa: RUF001


def test_rejected_model_has_failed_rules_first_and_no_command_that_lowers_the_bar(text_of):
    text = text_of(example('run-7', REJECTED))

    assert 'Not live The model is not blessed. Version 1795284347 is live.' in text
    assert text.index(f'✗ {REASON}') < text.index('✓ accuracy 0.958')
    assert 'no images got better, 6 worse' in text
    assert 'An equally good model is rejected as worse at most 5.5 % of the time.' in text
    assert '--force' not in text
    assert '5.5 %' not in text_of(RUN)


@pytest.mark.parametrize('comparison', [None, compared('same', 0, 0)])
def test_page_without_changed_images(text_of, comparison):
    state = {**LIVE, 'gate': gate(('passed', 'x'), comparison=comparison)}
    text = text_of(example('run-7', state))
    assert ('Changed images no image got better or worse' in text) == (comparison is not None)


def test_withdrawn_blessing_has_the_command_that_restores_it(text_of):
    state = {**LIVE, 'result': 'not blessed', 'manual_override': 'withdrawn by eve: wrong'}
    text = text_of(example('run-7', state))

    assert 'To bless it again: models bless run-7 --force --reason TEXT' in text


def test_many_rules_are_folded():
    failed = [('failed', f'accuracy on images of kind {number} 0.5') for number in range(9)]
    passed = [('passed', f'accuracy on images of sort {number} 0.9') for number in range(9)]
    state = {**REJECTED, 'gate': gate(*passed, *failed)}

    page = render_page(example(state=state), PageImages())
    shown, *folded = page.partition('</section>')[0].split('<details>')

    assert re.findall(r'kind \d', shown) == [f'kind {number}' for number in range(6)]
    assert [len(re.findall(r'(kind|sort) \d', each)) for each in folded] == [3, 9]


def test_all_classes_and_confusions_of_many_classes_are_on_the_page(words):
    many = tuple(f'kind {number}' for number in range(100))

    page = render_page(example(classes=many), PageImages())
    text = words(page)

    assert text.count('kind 7 predicted as kind 8: 1 (25.0%)') == 1
    assert '88 more classes' in text
    assert 'label predicted images kind 0 kind 1 1' in text
    assert len(page) < 1_000_000


def test_evaluation_of_no_images_has_dashes(text_of):
    overall = RUN.evaluation.candidate.overall
    nothing = {'images': 0, 'metrics': {'accuracy': Estimate(value=None)}}
    empty = {'slices': (overall.model_copy(update=nothing),), 'confusion': ((0, 0), (0, 0))}
    run = with_models(candidate={**empty, 'roc': (), 'precision_recall': (), 'calibration': ()})

    text = text_of(run)

    assert 'share of correct predictions – 0.9552' in text  # noqa: RUF001


def test_results_by_class():
    rows = tables.class_rows(MATRIX, 'abc')
    _, unseen = tables.class_rows(((5, 0), (0, 0)), 'ab')

    values = [(row.precision.value, row.recall.value, row.f1, row.images) for row in rows]
    assert values == [
        pytest.approx((1, 5 / 6, 10 / 11, 6)),
        pytest.approx((0, 0, 0, 3)),
        (0, None, 0, 0),
    ]
    assert (unseen.precision.value, unseen.recall.value, unseen.f1) == (None, None, None)
    assert tables.confusions(MATRIX, 'abc') == [('b', 'c', 3), ('a', 'b', 1)]


@pytest.mark.parametrize(
    ('scale', 'ticks'),
    [
        (Scale(0.43, 0.98, 0, 550), ['0.5', '0.6', '0.7', '0.8', '0.9']),
        (Scale(1, 4, 0, 300, integers=True), ['1', '2', '3', '4']),
        (Scale(0, 300, 0, 300), ['0', '50', '100', '150', '200', '250', '300']),
    ],
)
def test_ticks_are_round_numbers_within_the_axis(scale, ticks):
    assert [text for _, text in scale.ticks()] == ticks
    assert [at for at, _ in scale.ticks()] == pytest.approx([scale(float(each)) for each in ticks])


def test_training_curves_mark_stages_and_best_epochs():
    loss, accuracy = plots.training_curves(RUN.stages)

    assert [len(line.points) for line in loss.lines] == [20, 20]
    assert loss.rules == [(10.5, 'fine-tuning')]
    assert [(x, text.partition(',')[0]) for x, _, text in accuracy.dots] == [
        (9, 'kept: epoch 9 of stage 1'),
        (17, 'kept: epoch 7 of stage 2'),
    ]
    assert loss.y(0.9) < loss.y(0.1)  # SVG coordinates grow downwards


@pytest.mark.parametrize('values', [(None,), (0.0, 0.0), (1e-9, 2e-9)])
def test_curve_of_nan_or_equal_values_has_an_axis(values):
    stage = RUN.stages[0].model_copy(update={'metrics': {'accuracy': values}, 'best_epoch': None})

    _, accuracy = plots.training_curves([stage])

    shown = [value for value in values if value is not None]
    assert accuracy.y.low < accuracy.y.high
    assert len(accuracy.coordinates(accuracy.lines[0]).split()) == len(shown)
