"""The page and the text of an evaluation on labelled images."""

import pytest
from rich.console import Console

from components.evaluation.results import Comparison, Estimate, wilson
from components.image_example_gen.ingestion.ingested import Tally
from pipeline.report.page.render import render_labelled_set
from pipeline.report.page_data import LabelledSet, PageImages
from pipeline.report.text import describe_labelled_set


def result(classes, right):
    """A model that takes one image of each class for one of the next, of 10 each."""
    count = len(classes)
    confusion = [
        [right if row == column else 10 - right if column == (row + 1) % count else 0
         for column in range(count)]
        for row in range(count)
    ]  # fmt: skip
    overall = {'feature': '', 'name': '', 'images': 10 * count}
    metrics = {'accuracy': wilson(right * count, 10 * count), 'log_loss': Estimate(value=0.25)}
    dark = {'feature': 'brightness', 'name': 'dark', 'images': 7, 'metrics': metrics}
    return {'slices': [{**overall, 'metrics': metrics}, dark], 'confusion': confusion}


def evaluation(classes=('cats', 'dogs'), against='2', **changes):
    values = {
        'recipe': 'pets',
        'version': '3',
        'against': against,
        'data': 'folder /srv/[new]',
        'evaluated': '2026-11-21T18:05:00Z',
        'notes': ('2 notes',),
        'tally': Tally(21, {'truncated': 1}),
        'held_out': {'dropped': 4, 'kept': 20},
        'unknown': (),
        'evaluation': {
            'classes': classes,
            'threshold': 0.5,
            'candidate': result(classes, 9),
            'reference': result(classes, 8) if against else None,
        },
        'comparison': Comparison(
            outcome='better', images=20, better=3, worse=1, candidate=0.9, reference=0.8,
            low=0.01, high=0.19,
        ) if against else None,
        'mistakes': [],
        'worse': [],
        'better': [],
    }  # fmt: skip
    return LabelledSet.model_validate({**values, **changes})


@pytest.fixture
def page_of(words):
    return lambda data: words(render_labelled_set(data, PageImages(), 50))


def text_of(data):
    console = Console(width=400, record=True)
    with console.capture() as captured:
        console.print(describe_labelled_set(data))
    return captured.get()


def test_both_name_the_versions_and_what_was_left_out(page_of):
    for text in (page_of(evaluation()), text_of(evaluation())):
        for expected in ('version 3', 'version 2', '3 images got better, 1 worse', '1 quarantined'):
            assert expected in text
        assert '2 notes' in text
        assert 'similar ones: 4 images' in text
        assert 'test split' not in text
        assert 'live' not in text


@pytest.mark.parametrize(
    ('found', 'expected'),
    [
        ({'needed': 310}, 'about 310 more images'),
        ({'groups': 5}, 'of 5 groups, and 20 decide'),
        ({'metric': 'balanced_accuracy'}, 'balanced accuracy +10.00 percentage points'),
    ],
)
def test_comparison_names_the_metric_and_what_decides(page_of, found, expected):
    data = evaluation()
    comparison = data.comparison.model_copy(update={'outcome': 'undecided', **found})
    data = data.model_copy(update={'comparison': comparison})
    assert expected in page_of(data)
    assert expected in text_of(data)


def test_class_without_images_is_not_the_weakest_and_no_slice_is_judged(page_of):
    data = evaluation(against=None)
    confusion = ((9, 1), (0, 0))
    candidate = data.evaluation.candidate.model_copy(update={'confusion': confusion})
    found = data.evaluation.model_copy(update={'candidate': candidate})
    page = page_of(data.model_copy(update={'evaluation': found}))
    assert 'lowest F1: cats' in page
    assert 'to be judged' not in page


def test_without_another_version_nothing_is_compared(page_of):
    for text in (page_of(evaluation(against=None)), text_of(evaluation(against=None))):
        assert 'version 2' not in text
        assert 'version None' not in text


def test_text_has_metrics_with_intervals_slices_and_the_confusion_matrix():
    lines = [line.split() for line in text_of(evaluation()).splitlines()]
    assert ['Accuracy', '0.9000', '0.6990', 'to', '0.9721', '0.8000'] in lines
    assert ['Log', 'loss', '0.2500', '0.2500'] in lines
    assert ['dark', 'images', '7', '0.9000', '0.6990', 'to', '0.9721', '0.8000'] in lines
    assert ['cats', '9', '1'] in lines


def test_text_lists_the_most_frequent_confusions_of_many_classes():
    names = tuple(f'kind{number}' for number in range(14))
    lines = [line.split() for line in text_of(evaluation(names)).splitlines()]
    assert ['kind0', 'kind1', '1'] in lines
    assert len([line for line in lines if line[:1] and line[0].startswith('kind')]) == 12


def test_unknown_training_images_are_a_remark(page_of):
    assert 'training images of version 2 are not known' in page_of(evaluation(unknown=('2',)))
