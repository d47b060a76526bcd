"""Detection of overfitting, and the JSON of a training's history."""

import json
import math

import pytest

from trainer.training.stage_history import StageHistory, write_history


def stage(validation, training=None, best_epoch=1, patience=2, loss_before=None):
    training = training or [1 / (epoch + 1) for epoch in range(len(validation))]
    metrics = {'loss': tuple(training), 'val_loss': tuple(validation)}
    return StageHistory('stage 2, fine-tuning', metrics, best_epoch, patience, loss_before)


def test_reports_rise_fall_and_best_epoch():
    history = stage(
        [0.3, 0.2, 0.1, 0.081, 0.09, 0.1, 0.11, 0.12, 0.143],
        [0.4, 0.3, 0.1, 0.05, 0.04, 0.03, 0.02, 0.015, 0.012],
        best_epoch=4,
        patience=5,
    )
    assert history.overfitting.startswith(
        'overfitting in stage 2, fine-tuning: validation loss rose from 0.081 (epoch 4) to 0.143 '
        '(epoch 9) while training loss fell from 0.05 to 0.012; the weights of epoch 4 are kept; '
    )
    before = stage([0.1, math.nan, 0.2, 0.3], best_epoch=None)
    assert 'the weights from before this stage are kept' in before.overfitting


@pytest.mark.parametrize(
    ('validation', 'lowest'), [([0.2, 0.15, 0.3], '0.15'), ([math.nan] * 2, 'NaN')]
)
def test_reports_a_stage_that_is_discarded(validation, lowest):
    history = stage(validation, best_epoch=None, loss_before=0.1234)
    assert history.discarded.startswith(
        f'stage 2, fine-tuning is discarded: its lowest validation loss is {lowest}, that of the '
        'weights before it 0.123; these are kept; '
    )
    assert stage(validation, best_epoch=2, loss_before=0.5).discarded is None
    assert stage(validation, best_epoch=None).discarded is None


@pytest.mark.parametrize(('patience', 'epochs'), [(1, 1), (2, 2), (4, 4), (0, 3)])
def test_overfitting_needs_patience_or_three_epochs_of_rise(patience, epochs):
    rise = [0.1 + 0.02 * epoch for epoch in range(epochs + 1)]
    assert stage(rise, patience=patience).overfitting
    assert stage(rise[:-1], patience=patience).overfitting is None


@pytest.mark.parametrize(
    ('validation', 'training'),
    [
        ([], []),  # no epoch
        ([0.1, 0.2, 0.3], [0.1, 0.1, 0.1]),  # training loss is constant
        ([0.1, 0.1, 0.1, 0.2], None),  # rise of one epoch after a plateau
        ([0.1, 0.101, 0.102, 0.103], None),  # noise
        ([0.1, 0.5, 0.5, 0.1001], None),  # recovered
        ([0.1, 0.2, math.nan], None),  # diverged
        ([math.nan] * 3, None),  # all NaN
        ([0.1, 0.2, 0.3], [0.1, 0.1, math.nan]),  # training diverged
    ],
)
def test_detects_no_overfitting(validation, training):
    assert stage(validation, training).overfitting is None


def test_json_has_null_for_nan_and_the_sentences(tmp_path):
    histories = [stage([0.5, math.nan], [0.75, math.inf]), stage([0.1, 0.2, 0.3])]
    write_history(tmp_path / 'history.json', histories)
    first, second = json.loads((tmp_path / 'history.json').read_text())
    assert first['metrics'] == {'loss': [0.75, None], 'val_loss': [0.5, None]}
    assert (first['overfitting'], first['discarded']) == (None, None)
    assert second['overfitting'] == histories[1].overfitting
