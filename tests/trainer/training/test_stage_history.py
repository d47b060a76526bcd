"""When a stage is said to overfit, in which words, and what programs read of a training."""

import json
import math

import pytest

from trainer.training.stage_history import StageHistory, overfitting, write_history


def stage(validation, training=None, best_epoch=1, patience=2):
    training = training or [1 / (epoch + 1) for epoch in range(len(validation))]
    metrics = {'loss': tuple(training), 'val_loss': tuple(validation)}
    return StageHistory('stage 2, fine-tuning', metrics, best_epoch, patience)


def test_the_sentence_says_what_rose_what_fell_and_what_is_kept():
    history = stage(
        [0.3, 0.2, 0.1, 0.081, 0.09, 0.1, 0.11, 0.12, 0.143],
        [0.4, 0.3, 0.1, 0.05, 0.04, 0.03, 0.02, 0.015, 0.012],
        best_epoch=4,
        patience=5,
    )
    assert overfitting(history) == (
        'overfitting in stage 2, fine-tuning: validation loss rose from 0.081 (epoch 4) to 0.143 '
        '(epoch 9) while training loss fell from 0.050 to 0.012; the weights of epoch 4 are kept; '
        'more augmentation, dropout or data would help'
    )


def test_a_stage_that_never_was_better_keeps_the_weights_from_before():
    said = overfitting(stage([0.1, 0.2, 0.3], best_epoch=None))
    assert 'the weights from before this stage are kept' in said


def test_small_losses_keep_their_digits():
    said = overfitting(stage([0.001, 0.002, 0.003], [0.0004, 0.0003, 0.00012]))
    assert 'rose from 0.001 (epoch 1) to 0.003 (epoch 3)' in said
    assert 'fell from 0.0004 to 0.00012' in said


@pytest.mark.parametrize('patience', [1, 2, 4])
def test_as_many_epochs_as_early_stopping_leaves_are_enough(patience):
    rise = [0.1 + 0.02 * epoch for epoch in range(patience + 1)]
    assert overfitting(stage(rise, patience=patience))
    assert overfitting(stage(rise[:-1], patience=patience)) is None


def test_without_patience_three_epochs_are_enough():
    assert overfitting(stage([0.1, 0.2, 0.3, 0.4], patience=0))
    assert overfitting(stage([0.1, 0.2, 0.3], patience=0)) is None


@pytest.mark.parametrize(
    ('validation', 'training'),
    [
        pytest.param([], [], id='no epoch'),
        pytest.param([0.5], [0.4], id='one epoch'),
        pytest.param([0.3, 0.2, 0.1], None, id='still falling'),
        pytest.param([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], id='both rise'),
        pytest.param([0.1, 0.2, 0.3], [0.1, 0.1, 0.1], id='training stands still'),
        pytest.param([0.1, 0.1, 0.1, 0.1], None, id='plateau'),
        pytest.param([0.1, 0.1, 0.1, 0.2], None, id='rise of one epoch after a plateau'),
        pytest.param([0.1, 0.101, 0.102, 0.103], None, id='noise'),
        pytest.param([0.1, 0.5, 0.5, 0.1001], None, id='came back'),
        pytest.param([0.0, 0.0, 0.0], None, id='zero'),
        pytest.param([0.1, 0.2, math.nan], None, id='diverged'),
        pytest.param([math.nan] * 3, None, id='never a number'),
        pytest.param([math.inf] * 3, None, id='never finite'),
        pytest.param([0.1, 0.2, 0.3], [0.1, 0.1, math.nan], id='training diverged'),
    ],
)
def test_what_is_no_overfitting(validation, training):
    assert overfitting(stage(validation, training)) is None


def test_a_nan_in_the_middle_hides_nothing():
    assert 'from 0.100 (epoch 2) to 0.300' in overfitting(stage([0.2, 0.1, math.nan, 0.3]))


def test_programs_read_every_number_and_null_for_what_is_none(tmp_path):
    first = stage([0.5, math.nan], [0.75, math.inf], best_epoch=1, patience=4)
    second = stage([0.1, 0.2, 0.3], best_epoch=None)
    write_history(tmp_path / 'history.json', [first, second])
    read = json.loads((tmp_path / 'history.json').read_text())
    assert read[0] == {
        'name': 'stage 2, fine-tuning',
        'metrics': {'loss': [0.75, None], 'val_loss': [0.5, None]},
        'best_epoch': 1,
        'patience': 4,
        'overfitting': None,
    }
    assert read[1]['metrics']['val_loss'] == [0.1, 0.2, 0.3]
    assert read[1]['best_epoch'] is None
    assert read[1]['overfitting'].startswith('overfitting in stage 2')
