"""What the page of a run says."""

import dataclasses

import pytest
from example_run import FLOORS, LIVE, REASON, REFUSED, example, model_result, pictures_for

from components.evaluation.gate.verdict import Verdict
from components.evaluation.results import Evaluation, Robustness
from pipeline.report.content.page_data import Pictures, ReportData
from pipeline.report.page.render import render_page

SECTIONS = (
    'Metrics',
    'Data',
    'Training',
    'Answers',
    'Slices',
    'Robustness',
    'Most confident mistakes',
    'Serving check',
    'TensorFlow Lite',
    'Seconds per component',
    'Lineage',
    'Model card',
    'Configuration',
)


@pytest.fixture(scope='module')
def page():
    run = example()
    return render_page(run, pictures_for(run))


def test_the_page_begins_with_the_verdict_version_and_date(page, words):
    said = words(page).partition('Metrics')[0]

    assert 'Live as version 1795284347 , since 2026-11-21 18:05 UTC' in said
    assert '✓ accuracy 0.970, baseline 0.95 (n=402)' in said
    assert '○ accuracy on small images 0.8, floor 0.9 (n=15) no vote' in said


def test_a_refusal_comes_before_what_passed_and_names_what_stays_live(words):
    said = words(render_page(example(standing=REFUSED), Pictures()))

    assert 'Not live The model was not good enough to be pushed.' in said
    assert 'Version 1795284347 stays live.' in said
    assert said.index(f'✗ {REASON}') < said.index('✓ accuracy 0.958')


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        ({'unchanged': True}, 'since 2026-11-21 18:05 UTC; nothing has changed in this run'),
        ({'live': False, 'live_version': '1795999999'}, 'the newest version there is 1795999999'),
        ({'live': False, 'version': None}, 'Nothing was pushed in this run. Version 1795284347'),
        (
            {'live': False, 'version': None, 'live_version': None},
            'Nothing was pushed in this run. There is no live model.',
        ),
    ],
)
def test_every_standing_has_its_sentence(words, changes, sentence):
    standing = LIVE.model_copy(update=changes)

    said = words(render_page(example(standing=standing), Pictures()))

    assert sentence in said


def test_the_page_has_all_sections_in_their_order(page):
    places = [page.index(f'<h2>{each}</h2>') for each in SECTIONS]

    assert places == sorted(places)


def test_the_page_fetches_nothing_and_is_small(page, fetched):
    assert fetched(page) == []
    assert 'http' not in page.partition('</style>')[2]
    assert len(page) < 2_000_000


def test_metrics_stand_beside_those_of_the_last_blessed_model(page, words):
    assert 'the right answer 0.9701 0.9486–0.9828 0.9552 0.9303–0.9715 +0.0149' in words(page)  # noqa: RUF001


def test_a_lower_loss_is_the_better_one(page):
    row = page[page.index('Log loss') :].partition('</tr>')[0]

    assert 'better">' in row
    assert '−0.0150' in row  # noqa: RUF001


def test_slices_say_when_they_are_few_and_when_they_are_below_their_floor(words):
    weak = {'recipe': {'evaluation': {'floors': {**FLOORS, 'brightness.dark': 0.95}}}}

    said = words(render_page(example(**weak), Pictures()))

    assert 'dark below floor 0.95' in said
    assert 'small few 15 0.800' in said
    assert 'small below floor' not in said


def test_what_the_images_say_is_never_markup(page):
    assert 'dogs/&lt;b&gt;.jpg' in page
    assert '<b>.jpg' not in page


def test_robustness_is_redder_the_more_is_lost(page):
    def redness(loss):
        return float(page.partition(f'>{loss}</span>')[0].rpartition('(--heat),')[2].split(')')[0])

    assert redness('−4.0') < redness('−19.0') < redness('−42.0')  # noqa: RUF001


def test_lite_models_say_what_they_lose(words):
    said = words(render_page(example(), Pictures()))

    assert 'float16 0.9701 0.9486–0.9828 100.0% 4.6 5.1 within the bound' in said  # noqa: RUF001
    assert 'int8 0.9104' in said
    assert said.count('lost too much') == 1


def test_cached_components_are_marked(page, words):
    said = words(page)

    assert 'StatisticsGen cached 0.1' in said
    assert 'Trainer cached' not in said


def test_the_card_tells_weak_slices_and_corruptions_and_the_words_of_the_recipe(words):
    use = {'recipe': {'report': {'intended_use': 'Sorting holiday pictures.'}}}

    card = words(render_page(example(**use), Pictures())).rpartition('Model card')[2]

    assert 'intended use Sorting holiday pictures.' in card
    assert 'Weaker on dark images: 92.5% (86.4% to 96.0%) of 120 images.' in card
    assert 'Too few test images to judge: small images (15).' in card
    assert 'Sensitive to darkness: 73.0% at severity 2, 97.0% without.' in card
    assert 'Sensitive to jpeg' not in card


def test_the_whole_recipe_is_in_the_page(page):
    folded = page.partition('<details><summary>The whole recipe')[2]

    assert 'min_images: 50' in folded


def test_a_run_that_has_nothing_but_a_verdict_has_a_page(words):
    least = dict.fromkeys(('data', 'evaluation', 'robustness', 'serving', 'lite', 'origin'))
    bare = example(**least, stages=(), components=())

    said = words(render_page(bare, Pictures()))

    assert 'Live as version' in said
    assert 'None are known: it was not measured.' in said
    assert 'always answers with one of its classes' in said
    assert 'This run has no metrics, no robustness, no serving check.' in said
    assert 'Slices' not in said


def test_a_model_that_answers_nan_has_a_page_with_dashes(words):
    run = example()
    whole = run.evaluation.candidate.overall
    slices = [{**whole.model_dump(), 'metrics': {name: {'value': None} for name in whole.metrics}}]
    empty = {'slices': slices, 'roc': (), 'precision_recall': (), 'calibration': ()}
    candidate = {**run.evaluation.candidate.model_dump(), **empty}
    evaluation = Evaluation.model_validate({**run.evaluation.model_dump(), 'candidate': candidate})

    said = words(render_page(run.model_copy(update={'evaluation': evaluation}), Pictures()))

    assert 'share of images with the right answer – 0.9552' in said  # noqa: RUF001


def test_a_hundred_classes_show_their_commonest_mistakes_and_not_a_matrix(words):
    many = tuple(f'kind {number}' for number in range(100))

    said = words(render_page(example(classes=many), Pictures()))

    assert 'is taken for images kind 0 kind 1' in said
    assert 'says kind 7' not in said


def test_no_mistakes_and_no_corruptions_are_said(words):
    clean = Robustness(clean=None, corrupted=(), mistakes=())

    said = words(render_page(example(robustness=clean), Pictures()))

    assert 'every image got the right answer' in said
    assert 'The recipe asks for no corrupted copies.' in said


def test_mistakes_whose_pictures_are_gone_are_still_named(words):
    run = example()
    gone = pictures_for(run).mistakes[0]
    bare = Pictures(mistakes=(dataclasses.replace(gone, picture=None, explanation=None),))

    assert 'dogs , it says, 99.8% sure; it is cats' in words(render_page(run, bare))


def test_what_a_page_says_survives_its_file():
    run = example()

    assert ReportData.model_validate_json(run.model_dump_json()) == run


def test_a_verdict_without_objections_is_blessed_even_if_rules_have_no_vote():
    assert Verdict(rulings=LIVE.verdict.rulings[3:4]).blessed
    assert example(standing=LIVE.model_copy(update={'live': False})).standing.word == (
        'Blessed, not live'
    )


def test_one_class_more_is_one_row_and_column_more(words):
    three = example(classes=('cats', 'dogs', 'owls'))

    said = words(render_page(three, Pictures()))

    assert 'is owls' in said
    assert 'at threshold' not in said.partition('Slices')[0].partition('Confusion')[2]
    assert model_result(0.9, three.evaluation.classes).overall.images == 402
