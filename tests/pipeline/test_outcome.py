"""How a verdict reads."""

import sys
from pathlib import Path

import pytest
from tensorflow_model_analysis.proto import validation_result_pb2

from pipeline.outcome import Outcome, _newest_version, _reason, show_outcome
from trainer import progress


def failure(value, is_diff=False, lower_bound=0.9, absolute=0.0):
    message = validation_result_pb2.ValidationFailure()
    message.metric_key.name = 'binary_accuracy'
    message.metric_key.is_diff = is_diff
    message.metric_value.double_value.value = value
    message.metric_threshold.value_threshold.lower_bound.value = lower_bound
    message.metric_threshold.change_threshold.absolute.value = absolute
    return message


@pytest.mark.parametrize(
    ('found', 'reason'),
    [
        (failure(0.88), 'accuracy 0.8800 on the test split, needs at least 0.9000'),
        (
            failure(-0.02, is_diff=True),
            'accuracy is 0.0200 below the last blessed model; it may not be worse',
        ),
        (
            failure(-0.02, is_diff=True, absolute=-0.01),
            'accuracy is 0.0200 below the last blessed model; at most 0.0100 is allowed',
        ),
    ],
)
def test_a_reason_names_what_was_found_and_what_is_needed(found, reason):
    assert _reason(found) == reason


def outcome(**changes):
    usual = {
        "run_id": "1",
        'blessed': True, 'unchanged': False, 'accuracy': 0.95, 'baseline_accuracy': 0.9,
        'previous_accuracy': None, 'reasons': (), 'pushed_to': Path('/m/2'),
        'newest_version': Path('/m/2'),
    }  # fmt: skip
    return Outcome(**{**usual, **changes})


@pytest.mark.parametrize(
    ('end', 'words'),
    [
        (outcome(), 'BLESSED and pushed to /m/2'),
        (outcome(unchanged=True), 'BLESSED, unchanged; live in /m/2'),
        (
            outcome(unchanged=True, newest_version=Path('/m/3')),
            'but the newest version there is /m/3',
        ),
        (outcome(newest_version=Path('/m/9')), 'and pushed to /m/2, but the newest version there'),
        (outcome(unchanged=True, newest_version=None), 'but the newest version there is none'),
        (outcome(blessed=False, reasons=('too [bold]low',)), 'NOT BLESSED: too [bold]low'),
        (outcome(previous_accuracy=0.9), 'last blessed model 0.9000'),
        (outcome(warnings=('width of [b] moved',)), 'warning: width of [b] moved'),
    ],
)
def test_the_verdict_says_what_became_of_the_model(end, words, capsys):
    with progress.using_console(progress.make_console(sys.stdout)):
        show_outcome({}, end, seconds=1.0)
    assert words in capsys.readouterr().out


def test_versions_are_numbers_and_the_largest_is_the_newest(tmp_path):
    for name in ('9', '10', 'notes'):
        (tmp_path / name).mkdir()
    assert _newest_version(tmp_path) == tmp_path / '10'
    assert _newest_version(tmp_path / 'none') is None
