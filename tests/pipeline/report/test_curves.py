"""Places in pictures."""

import math

import pytest
from example_run import example

from components.evaluation.results import Bucket, Estimate, SliceResult
from pipeline.report.page import plots as figures
from pipeline.report.page import tables
from pipeline.report.page.scales import Scale, around, round_step, vertical


@pytest.mark.parametrize(('least', 'step'), [(0.03, 0.05), (0.1, 0.1), (7, 10), (1.2, 2), (50, 50)])
def test_steps_are_round(least, step):
    assert round_step(least) == pytest.approx(step)


def test_marks_are_within_the_axis_and_say_where_they_are():
    scale = Scale(0.43, 0.98, 0, 550)

    marks = scale.ticks()

    assert [mark.text for mark in marks] == ['0.5', '0.6', '0.7', '0.8', '0.9']
    assert [mark.at for mark in marks] == [70, 170, 270, 370, 470]


def test_marks_may_be_kept_to_whole_numbers():
    assert [mark.text for mark in Scale(1, 4, 0, 300).ticks(least=1)] == ['1', '2', '3', '4']


def test_larger_numbers_are_higher_up():
    scale = vertical(0, 1)

    assert scale(0.9) < scale(0.1)


@pytest.mark.parametrize('values', [[], [0.5], [0, 0, 0], [1e-9, 2e-9]])
def test_an_axis_has_a_length_whatever_it_shows(values):
    low, high = around(values)

    assert low < high


def test_stages_follow_each_other_and_kept_epochs_are_marked():
    loss, accuracy = figures.training_curves({'': example().stages})

    assert [len(line.points.split()) for line in loss.lines] == [20, 20]
    assert [rule.text for rule in loss.rules] == ['fine-tuning']
    assert [dot.text.partition(',')[0] for dot in accuracy.dots] == [
        'kept: epoch 9 of stage 1',
        'kept: epoch 7 of stage 2',
    ]


def test_a_diverged_epoch_is_left_out_of_its_curve():
    (stage, _) = example().stages
    lost = {**stage.metrics, 'val_loss': (*stage.metrics['val_loss'][:-1], None)}

    loss, _ = figures.training_curves({'': [stage.model_copy(update={'metrics': lost})]})

    assert [len(line.points.split()) for line in loss.lines] == [10, 9]


def test_no_training_has_no_curves():
    assert figures.training_curves({'': ()}) == ()


def test_a_long_curve_keeps_its_ends():
    points = [(number / 999, math.sqrt(number / 999)) for number in range(1000)]

    thinned = figures.thinned(points)

    assert len(thinned) == 200
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])


def test_calibration_counts_its_images():
    run = example()
    buckets = (
        Bucket(confidence=0.2, share=0.1, images=5),
        Bucket(confidence=0.9, share=1, images=9),
    )
    candidate = run.evaluation.candidate.model_copy(update={'calibration': buckets})

    plot = figures.calibration(run.evaluation.model_copy(update={'candidate': candidate}))

    assert [bar.label for bar in plot.bars] == ['5', '9']
    assert plot.dots[0].text == 'promised 0.20, kept 0.10, of 5 images'
    assert plot.x_label.startswith('probability of dogs;')


def test_the_name_of_a_slice_goes_before_its_feature():
    floors = {'class': 0.8, 'class.cats': 0.9}
    cats, dogs = (
        SliceResult(feature='class', name=name, images=9, metrics={'accuracy': Estimate(value=1)})
        for name in ('cats', 'dogs')
    )

    assert (tables.floor_of(floors, cats), tables.floor_of(floors, dogs)) == (0.9, 0.8)


def test_the_commonest_mistake_comes_first():
    matrix = ((5, 1, 0), (0, 4, 3), (0, 0, 9))

    assert tables.confusions(matrix, ('a', 'b', 'c')) == [('b', 'c', 3), ('a', 'b', 1)]
