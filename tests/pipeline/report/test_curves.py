"""Axes, plots and table rows of a page."""

import math

import pytest
from example_run import example

from components.evaluation.results import Bucket, Estimate, SliceResult
from pipeline.report.page import plots, tables
from pipeline.report.page.scales import Scale, around, round_step, vertical


@pytest.mark.parametrize(('least', 'step'), [(0.03, 0.05), (0.1, 0.1), (7, 10), (1.2, 2), (50, 50)])
def test_round_step(least, step):
    assert round_step(least) == pytest.approx(step)


def test_ticks_are_within_the_axis():
    scale = Scale(0.43, 0.98, 0, 550)

    ticks = scale.ticks()

    assert [tick.text for tick in ticks] == ['0.5', '0.6', '0.7', '0.8', '0.9']
    assert [tick.at for tick in ticks] == [70, 170, 270, 370, 470]


def test_ticks_of_epochs_are_integers():
    assert [tick.text for tick in Scale(1, 4, 0, 300).ticks(least=1)] == ['1', '2', '3', '4']


def test_y_axis_points_up():
    scale = vertical(0, 1)

    assert scale(0.9) < scale(0.1)


@pytest.mark.parametrize('values', [[], [0.5], [0, 0, 0], [1e-9, 2e-9]])
def test_axis_has_positive_length(values):
    low, high = around(values)

    assert low < high


def test_training_curves_mark_stages_and_best_epochs():
    loss, accuracy = plots.training_curves({'': example().stages})

    assert [len(line.points.split()) for line in loss.lines] == [20, 20]
    assert [rule.text for rule in loss.rules] == ['fine-tuning']
    assert [dot.text.partition(',')[0] for dot in accuracy.dots] == [
        'kept: epoch 9 of stage 1',
        'kept: epoch 7 of stage 2',
    ]


def test_curve_omits_nan_epochs():
    (stage, _) = example().stages
    lost = {**stage.metrics, 'val_loss': (*stage.metrics['val_loss'][:-1], None)}

    loss, _ = plots.training_curves({'': [stage.model_copy(update={'metrics': lost})]})

    assert [len(line.points.split()) for line in loss.lines] == [10, 9]


def test_no_curves_without_training():
    assert plots.training_curves({'': ()}) == ()


def test_thinned_curve_keeps_its_ends():
    points = [(number / 999, math.sqrt(number / 999)) for number in range(1000)]

    thinned = plots.thinned(points)

    assert len(thinned) == 200
    assert (thinned[0], thinned[-1]) == (points[0], points[-1])


def test_calibration_shows_number_of_images():
    run = example()
    buckets = (
        Bucket(confidence=0.2, share=0.1, images=5),
        Bucket(confidence=0.9, share=1, images=9),
    )
    candidate = run.evaluation.candidate.model_copy(update={'calibration': buckets})

    plot = plots.calibration(run.evaluation.model_copy(update={'candidate': candidate}))

    assert [bar.label for bar in plot.bars] == ['5', '9']
    assert plot.dots[0].text == 'probability 0.20, share 0.10, 5 images'
    assert plot.x_label.startswith('probability of dogs;')


def test_floor_of_slice_overrides_floor_of_feature():
    floors = {'class': 0.8, 'class.cats': 0.9}
    cats, dogs = (
        SliceResult(feature='class', name=name, images=9, metrics={'accuracy': Estimate(value=1)})
        for name in ('cats', 'dogs')
    )

    assert (tables.floor_of(floors, cats), tables.floor_of(floors, dogs)) == (0.9, 0.8)


def test_most_frequent_confusion_comes_first():
    matrix = ((5, 1, 0), (0, 4, 3), (0, 0, 9))

    assert tables.confusions(matrix, ('a', 'b', 'c')) == [('b', 'c', 3), ('a', 'b', 1)]
