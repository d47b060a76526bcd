"""Text and sections of the report of a run."""

import dataclasses

import pytest
from example_run import FLOORS, LIVE, REASON, REJECTED, example, images_for, model_result

from components.evaluation.results import Evaluation, Robustness
from pipeline.report.content.page_data import PageImages, ReportData
from pipeline.report.page.render import render_page

SECTIONS = (
    'Metrics',
    'Data',
    'Training',
    'Predictions',
    'Slices',
    'Robustness',
    'Most confident mistakes',
    'Serving check',
    'TensorFlow Lite',
    'Run time in seconds',
    'Lineage',
    'Model card',
    'Configuration',
)


@pytest.fixture(scope='module')
def page():
    run = example()
    return render_page(run, images_for(run))


def test_page_starts_with_status_version_and_date(page, words):
    text = words(page).partition('Metrics')[0]

    assert 'Live as version 1795284347 , since 2026-11-21 18:05 UTC' in text
    assert '✓ accuracy 0.970, baseline 0.95 (n=402)' in text
    assert '○ accuracy on small images 0.8, floor 0.9 (n=15) no vote' in text


def test_failed_rules_come_first(words):
    text = words(render_page(example(standing=REJECTED), PageImages()))

    assert 'Not live The model is not blessed.' in text
    assert 'Version 1795284347 stays live.' in text
    assert text.index(f'✗ {REASON}') < text.index('✓ accuracy 0.958')


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        ({'unchanged': True}, 'since 2026-11-21 18:05 UTC; unchanged by this run'),
        ({'live': False, 'live_version': '1795999999'}, 'the newest version is 1795999999'),
        ({'live': False, 'version': None}, 'Nothing was pushed in this run. Version 1795284347'),
        (
            {'live': False, 'version': None, 'live_version': None},
            'Nothing was pushed in this run. There is no live model.',
        ),
    ],
)
def test_page_describes_push_and_live_version(words, changes, sentence):
    status = LIVE.model_copy(update=changes)

    text = words(render_page(example(standing=status), PageImages()))

    assert sentence in text


def test_sections_are_in_order(page):
    places = [page.index(f'<h2>{each}</h2>') for each in SECTIONS]

    assert places == sorted(places)


def test_page_is_self_contained_and_small(page, fetched):
    assert fetched(page) == []
    assert 'http' not in page.partition('</style>')[2]
    assert len(page) < 2_000_000


def test_metrics_are_compared_with_last_blessed_model(page, words):
    numbers = '0.9701 0.9486–0.9828 0.9552 0.9303–0.9715 +0.0149'  # noqa: RUF001

    assert f'share of correct predictions {numbers}' in words(page)


def test_lower_loss_is_better(page):
    row = page[page.index('Log loss') :].partition('</tr>')[0]

    assert 'better">' in row
    assert '−0.0150' in row  # noqa: RUF001


def test_slices_show_too_few_images_and_violated_floors(words):
    weak = {'recipe': {'evaluation': {'floors': {**FLOORS, 'brightness.dark': 0.95}}}}

    text = words(render_page(example(**weak), PageImages()))

    assert 'dark below floor 0.95' in text
    assert 'small few 15 0.800' in text
    assert 'small below floor' not in text


def test_escapes_html_in_file_names(page):
    assert 'dogs/&lt;b&gt;.jpg' in page
    assert '<b>.jpg' not in page


def test_larger_loss_is_darker(page):
    def redness(loss):
        return float(page.partition(f'>{loss}</span>')[0].rpartition('(--heat),')[2].split(')')[0])

    assert redness('−4.0') < redness('−19.0') < redness('−42.0')  # noqa: RUF001


def test_lite_models_show_loss_of_accuracy(words):
    text = words(render_page(example(), PageImages()))

    assert 'float16 0.9701 0.9486–0.9828 100.0% 4.6 5.1 within limit' in text  # noqa: RUF001
    assert 'int8 0.9104' in text
    assert text.count('above limit') == 1


def test_marks_cached_components(page, words):
    text = words(page)

    assert 'StatisticsGen cached 0.1' in text
    assert 'Trainer cached' not in text


def test_model_card_has_weaknesses_and_intended_use(words):
    use = {'recipe': {'report': {'intended_use': 'Sorting holiday pictures.'}}}

    card = words(render_page(example(**use), PageImages())).rpartition('Model card')[2]

    assert 'intended use Sorting holiday pictures.' in card
    assert 'Weaker on dark images: 92.5% (86.4% to 96.0%) of 120 images.' in card
    assert 'Too few test images: small images (15).' in card
    assert 'Sensitive to darkness: 73.0% at severity 2, 97.0% on clean images.' in card
    assert 'Sensitive to jpeg' not in card


def test_page_contains_the_recipe(page):
    folded = page.partition('<details><summary>Recipe with all keys')[2]

    assert 'min_images: 50' in folded


def test_renders_run_with_gate_decision_only(words):
    least = dict.fromkeys(('data', 'evaluation', 'robustness', 'serving', 'lite', 'origin'))
    bare = example(**least, stages=(), components=())

    text = words(render_page(bare, PageImages()))

    assert 'Live as version' in text
    assert 'Unknown: slices and corruptions were not measured.' in text
    assert 'predicts one of its classes for every image' in text
    assert 'This run has no metrics, no robustness, no serving check.' in text
    assert 'Slices' not in text


def test_training_shows_the_network(page, words):
    text = words(page)

    assert '5 x 5 1,280 4 1,030,000 trains 830,000' in text
    assert 'head 1 1 1,281 trained' in text


def test_nan_metrics_are_dashes(words):
    run = example()
    overall = run.evaluation.candidate.overall
    slices = [
        {**overall.model_dump(), 'metrics': {name: {'value': None} for name in overall.metrics}}
    ]
    empty = {'slices': slices, 'roc': (), 'precision_recall': (), 'calibration': ()}
    candidate = {**run.evaluation.candidate.model_dump(), **empty}
    evaluation = Evaluation.model_validate({**run.evaluation.model_dump(), 'candidate': candidate})

    text = words(render_page(run.model_copy(update={'evaluation': evaluation}), PageImages()))

    assert 'share of correct predictions – 0.9552' in text  # noqa: RUF001


def test_many_classes_show_confusions_instead_of_matrix(words):
    many = tuple(f'kind {number}' for number in range(100))

    text = words(render_page(example(classes=many), PageImages()))

    assert 'label predicted images kind 0 kind 1' in text
    assert 'predicted kind 7' not in text


def test_robustness_without_mistakes_and_corruptions(words):
    clean = Robustness(clean=None, corrupted=(), mistakes=())

    text = words(render_page(example(robustness=clean), PageImages()))

    assert 'None: all predictions are correct.' in text
    assert 'The recipe has no corruptions.' in text


def test_mistake_without_image_files(words):
    run = example()
    gone = images_for(run).mistakes[0]
    bare = PageImages(mistakes=(dataclasses.replace(gone, picture=None, explanation=None),))

    assert 'predicted dogs (99.8%), label cats' in words(render_page(run, bare))


def test_report_data_round_trip():
    run = example()

    assert ReportData.model_validate_json(run.model_dump_json()) == run


def test_status_of_blessed_model_that_is_not_live():
    assert example(standing=LIVE.model_copy(update={'live': False})).standing.word == (
        'Blessed, not live'
    )


def test_three_classes(words):
    three = example(classes=('cats', 'dogs', 'owls'))

    text = words(render_page(three, PageImages()))

    assert 'label owls' in text
    assert 'at threshold' not in text.partition('Slices')[0].partition('Confusion')[2]
    assert model_result(0.9, three.evaluation.classes).overall.images == 402
