"""Text and sections of the report of a run."""

import base64
import dataclasses
import hashlib
import re

import pytest
from example_run import (
    COMMANDS,
    FLOORS,
    LIVE,
    REASON,
    REJECTED,
    example,
    images_for,
    model_result,
    rejected,
    verdict,
)

from components.conversion.results import skipped
from components.evaluation.results import Estimate, Robustness
from pipeline.report.content.page_data import PageImages
from pipeline.report.page import plots, tables
from pipeline.report.page.plots import Scale
from pipeline.report.page.render import render_page

SECTIONS = (
    'Metrics, Classes, Confusion matrix, Slices, Ranking and calibration, Most confident mistakes, '
    'Robustness, Data, Training, Serving check, TensorFlow Lite, ONNX, Run time, Lineage, '
    'Model card, Configuration'
)


@pytest.fixture(scope='module')
def page():
    run = example()
    return render_page(run, images_for(run))


def test_page_is_self_contained_and_small(page):
    assert re.findall(r'(?:src|href)="(?!#|data:)', page) == []
    assert 'http' not in page.partition('</style>')[2]
    assert re.findall('<script[^>]*>', page) == ['<script>']
    assert len(page) < 2_000_000


def test_policy_allows_only_the_own_script(page):
    script = re.search('<script>(.*)</script>', page, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    policy = re.search('Content-Security-Policy" content="(.*?)"', page)[1]
    assert policy.startswith("default-src 'none'; ")
    assert re.search('script-src [^;]*', policy)[0] == f"script-src 'sha256-{digest}'"


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
        '✓ accuracy 0.970, baseline 0.95 (n=402)',
        '? accuracy on small images 0.8, floor 0.9 (n=15) undecided',
        'share of correct predictions 0.9701 0.9486–0.9828 0.9552 0.9303–0.9715 +0.0149',  # noqa: RUF001
        'float16 0.9701 0.9486–0.9828 100.0% 4.6 5.1 within limit int8 0.9104',  # noqa: RUF001
        'ONNX 0.9701 0.9486–0.9828 100.0% 4.6 5.1 within limit',  # noqa: RUF001
        'StatisticsGen cached 0.1 Trainer 37.9',
        '5 x 5 1,280 4 1,030,000 830,000 head 1 1 1,281 1,281',
        'dogs/<b>.jpg not an image it is text',
        'min_images: 50',
        'Temperature scaling divides the logits by 1.56. On 405 images of the validation split, ',
        'calibration error 0.0153 before and 0.0139 after',
    ],
)
def test_page_shows(page, words, text):
    assert text in words(page)


@pytest.mark.parametrize(('accuracy', 'colour'), [(0.96, ''), (0.90, 'better'), (0.9999, 'worse')])
def test_only_significant_differences_have_a_colour(accuracy, colour):
    run = example()
    evaluation = run.evaluation.model_copy(
        update={'baseline': model_result(accuracy, run.evaluation.classes)}
    )
    page = render_page(run.model_copy(update={'evaluation': evaluation}), PageImages())

    row = page[page.index('class="metric">Accuracy<') :].partition('</tr>')[0]
    assert f'class="n {colour}"' in row


def test_larger_loss_is_darker(page):
    def redness(loss):
        return float(page.partition(f'>{loss}, n =')[0].rpartition('(--heat),')[2].split(')')[0])

    assert redness('−4.0') < redness('−19.0') < redness('−42.0')  # noqa: RUF001


def test_failed_rules_come_first(words):
    text = words(render_page(example(state=REJECTED), PageImages()))

    assert 'Not live The model is not blessed.' in text
    assert 'Version 1795284347 is live.' in text
    assert text.index(f'✗ {REASON}') < text.index('✓ accuracy 0.958')


@pytest.mark.parametrize('warm', [True, False])
def test_rejected_model_has_remedy_keys_and_next_commands(words, warm):
    status = rejected({'evaluation.max_drop': 0.05})
    run = example(state=status, commands=COMMANDS)
    if not warm:
        run = run.model_copy(update={'origin': dataclasses.replace(run.origin, parents=())})

    text = words(render_page(run, PageImages()))

    warm_start = '--set=trainer.warm_start=latest_blessed ' if warm else ''
    command = f'python pipeline_runner.py run --config=pets {warm_start}'
    assert (
        'Remedy: train on more dark images. Then: python pipeline_runner.py run --config=' in text
    )
    assert f'set evaluation.max_drop: 0.05 in the recipe, or once: {command}--set=' in text


def test_page_of_a_cluster_has_remedy_and_keys_without_commands(words):
    status = rejected({'evaluation.max_drop': 0.05})
    text = words(render_page(example(state=status), PageImages()))

    assert 'Remedy: train on more dark images. Or accept' in text
    assert 'set evaluation.max_drop: 0.05 in the recipe.' in text


def test_live_model_has_no_remedy(words):
    assert 'Remedy' not in words(render_page(example(commands=COMMANDS), PageImages()))


def test_withdrawn_blessing_has_the_command_that_restores_it(words):
    status = {**LIVE, 'result': 'not blessed', 'manual_override': 'withdrawn by eve: wrong'}
    text = words(render_page(example(state=status, commands=COMMANDS), PageImages()))

    assert (
        'To bless it again: python pipeline_runner.py models bless --config=pets 1795284347' in text
    )


def test_many_rules_are_folded():
    failed = [('failed', f'accuracy on images of kind {number} 0.5') for number in range(9)]
    passed = [('passed', f'accuracy on images of sort {number} 0.9') for number in range(9)]
    status = {**REJECTED, 'verdict': verdict(*passed, *failed)}

    page = render_page(example(state=status), PageImages())
    shown, *folded = page.partition('</section>')[0].split('<details>')

    assert re.findall(r'kind \d', shown) == [f'kind {number}' for number in range(6)]
    assert [len(re.findall(r'(kind|sort) \d', each)) for each in folded] == [3, 9]


def test_discarded_stage_is_reported(words):
    *others, last = example().stages
    stages = (*others, last.model_copy(update={'discarded': 'stage 2 is discarded'}))

    assert 'stage 2 is discarded' in words(render_page(example(stages=stages), PageImages()))


def test_models_on_other_numbers_of_images_are_not_subtracted():
    run = example().evaluation
    overall, *slices = run.baseline.slices
    slices = (overall.model_copy(update={'images': 300}), *slices)

    rows = tables.metric_rows(run.candidate, run.baseline.model_copy(update={'slices': slices}))

    assert {row.difference for row in rows} == {None}


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        ({'unchanged': True}, 'Live as version 1795284347 ; unchanged by this run'),
        ({'live_version': '1795999999'}, 'the newest version is 1795999999'),
        ({'version': None}, 'Nothing was pushed in this run. Version 1795284347'),
        (
            {'version': None, 'live_version': None},
            'Nothing was pushed in this run. There is no live model.',
        ),
    ],
)
def test_page_describes_push_and_live_version(words, changes, sentence):
    status = {**LIVE, **changes}

    text = words(render_page(example(state=status), PageImages()))

    assert sentence in text


def test_slices_show_too_few_images_and_violated_floors(words):
    weak = {'recipe': {'evaluation': {'floors': {**FLOORS, 'brightness.dark': 0.95}}}}

    text = words(render_page(example(**weak), PageImages()))

    assert 'small undecided needs 50 images to be judged 15' in text
    assert 'tall 120 0.958' in text
    assert 'dark below floor 0.95 120 0.925' in text
    assert 'small below floor' not in text


def test_model_card_has_weaknesses_and_intended_use(words):
    use = {'recipe': {'report': {'intended_use': 'Sorting holiday pictures.'}}}

    card = words(render_page(example(**use), PageImages())).rpartition('Model card')[2]

    assert 'intended use Sorting holiday pictures.' in card
    assert 'Weaker on dark images: 92.5% (86.4% to 96.0%) of 120 images.' in card
    assert 'Too few test images: small images (15).' in card
    assert 'Sensitive to darkness: 73.0% at severity 2, 97.0% on clean images.' in card
    assert 'Sensitive to jpeg' not in card


def test_renders_run_with_gate_decision_only(words):
    least = dict.fromkeys(('data', 'evaluation', 'robustness', 'serving', 'lite', 'onnx', 'origin'))
    bare = example(**least, stages=(), nodes={})

    text = words(render_page(bare, PageImages()))

    assert 'Live as version' in text
    assert 'Unknown: slices and corruptions were not measured.' in text
    assert 'predicts one of its classes for every image' in text
    assert 'This run has no metrics, no robustness, no serving check.' in text
    assert 'Slices' not in text


def test_shows_why_nothing_is_converted(words):
    text = words(render_page(example(lite=skipped('the model is not blessed', 0.02)), PageImages()))

    assert 'Nothing is converted: the model is not blessed.' in text


def test_all_classes_and_confusions_of_many_classes_are_on_the_page(words):
    many = tuple(f'kind {number}' for number in range(100))

    page = render_page(example(classes=many), PageImages())
    text = words(page)

    assert text.count('kind 7 predicted as kind 8: 1 (25.0%)') == 1
    assert '88 more classes' in text
    assert 'label predicted images kind 0 kind 1 1' in text
    assert len(page) < 1_000_000


def test_shows_runs_without_images_mistakes_and_corruptions(words):
    run = example()
    mistakes = tuple((each, None, None) for each in run.robustness.mistakes)
    empty = example(robustness=Robustness(clean=None, corrupted=(), mistakes=()))

    assert 'predicted dogs (99.8%), labelled cats' in words(
        render_page(run, PageImages(mistakes=mistakes))
    )
    text = words(render_page(empty, PageImages()))
    assert 'None: all predictions are correct.' in text
    assert 'The recipe has no corruptions.' in text


def test_shows_loss_by_corruption_on_the_same_images(words):
    robustness = example().robustness
    cell = robustness.corrupted[0].model_copy(
        update={'images': 20, 'accuracy': Estimate(value=0.9), 'clean': 0.95}
    )
    run = example(robustness=robustness.model_copy(update={'corrupted': (cell,)}))

    text = words(render_page(run, PageImages()))

    assert 'noise 90.0% −5.0, n = 20' in text  # noqa: RUF001


def test_page_states_why_logits_are_not_scaled(words):
    calibration = example().calibration.model_copy(update={'problem': 'all are correct'})
    text = words(render_page(example(calibration=calibration), PageImages()))
    assert 'No temperature scaling: all are correct. On 405 images' in text


def test_nan_metrics_are_dashes(words):
    run = example()
    overall = run.evaluation.candidate.overall
    nan = overall.model_copy(update={'metrics': {'accuracy': Estimate(value=None)}})
    empty = {'slices': (nan,), 'roc': (), 'precision_recall': (), 'calibration': ()}
    candidate = run.evaluation.candidate.model_copy(update=empty)
    evaluation = run.evaluation.model_copy(update={'candidate': candidate})

    text = words(render_page(run.model_copy(update={'evaluation': evaluation}), PageImages()))

    assert 'share of correct predictions – 0.9552' in text  # noqa: RUF001


def test_three_classes_have_no_threshold(words):
    text = words(render_page(example(classes=('cats', 'dogs', 'owls')), PageImages()))

    assert 'ROC, one-vs-rest, micro average' in text
    assert 'chance that a right class scores above a wrong one; one-vs-rest, micro' in text
    assert 'threshold 0.5' not in text


def test_curves_of_two_classes_are_of_the_second(words):
    text = words(render_page(example(), PageImages()))

    assert 'ROC, of dogs' in text
    assert 'one-vs-rest' not in text


def test_shows_precision_recall_and_f1_of_each_class(words):
    text = words(render_page(example(), PageImages()))

    # Each 201 images with 6 mistakes: of both classes, 195 of 201 predictions are correct.
    assert 'cats 201 0.970 0.936–0.986 0.970 0.936–0.986 0.970' in text  # noqa: RUF001
    assert 'macro average 402 0.970 0.970 0.970' in text
    assert 'the plain mean over the classes' in text


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
    loss, accuracy = plots.training_curves(example().stages)

    assert [len(line.points) for line in loss.lines] == [20, 20]
    assert loss.rules == [(10.5, 'fine-tuning')]
    assert [(x, text.partition(',')[0]) for x, _, text in accuracy.dots] == [
        (9, 'kept: epoch 9 of stage 1'),
        (17, 'kept: epoch 7 of stage 2'),
    ]
    assert loss.y(0.9) < loss.y(0.1)  # SVG coordinates grow downwards


@pytest.mark.parametrize('values', [(None,), (0.0, 0.0), (1e-9, 2e-9)])
def test_curve_of_nan_or_equal_values_has_an_axis(values):
    (stage, _) = example().stages
    stage = stage.model_copy(update={'metrics': {'accuracy': values}, 'best_epoch': None})

    _, accuracy = plots.training_curves([stage])

    shown = [value for value in values if value is not None]
    assert accuracy.y.low < accuracy.y.high
    assert len(accuracy.coordinates(accuracy.lines[0]).split()) == len(shown)


def test_long_curve_is_thinned_and_keeps_its_ends():
    found = example().evaluation
    roc, _ = plots.ranking({'this model': found.candidate}, found.classes)

    points = roc.coordinates(roc.lines[1]).split()

    assert len(points) == 200
    assert (points[0], points[-1]) == ('48,210', '350,10')
