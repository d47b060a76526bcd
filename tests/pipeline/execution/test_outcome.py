"""How a verdict reads."""

import json
import sys
from pathlib import Path

import pytest

from common import console
from components.evaluation.results import AUC, ECE, LOG_LOSS, Estimate
from pipeline.execution.outcome import Outcome, show_outcome, write_summary

MEASURES = {
    AUC: Estimate(value=0.991, low=0.974, high=0.997),
    ECE: Estimate(value=None),
    LOG_LOSS: Estimate(value=0.2),
}


def outcome(**changes):
    usual = {
        'run_id': '1',
        'blessed': True,
        'unchanged': False,
        'accuracy': 0.95,
        'baseline_accuracy': 0.9,
        'previous_accuracy': None,
        'reasons': (),
        'pushed_to': Path('/m/2'),
        'newest_version': Path('/m/2'),
    }
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
        (
            outcome(blessed=False, reasons=('accuracy on dark images 0.883, floor 0.90 (n=212)',)),
            'NOT BLESSED: accuracy on dark images 0.883, floor 0.90 (n=212)',
        ),
        (outcome(by_hand='blessed by hand by eve: a demo'), 'blessed by hand by eve: a demo\nBLES'),
        (
            outcome(measures=MEASURES),
            'AUC 0.991 (0.974 to 0.997), ECE none; 95 % intervals in brackets\ntest accuracy',
        ),
        (outcome(accuracy=None), 'test accuracy none; baseline 0.9000'),
        (outcome(warnings=('width of [b] moved',)), 'warning: width of [b] moved'),
    ],
)
def test_the_verdict_says_what_became_of_the_model(end, words, capsys):
    with console.output_to(sys.stdout):
        show_outcome({}, end, seconds=1.0)
    assert words in capsys.readouterr().out


def test_the_summary_of_a_model_without_numbers_is_json(tmp_path):
    write_summary(tmp_path / 'last_run.json', {}, outcome(accuracy=None), seconds=1.0)
    assert '"accuracy": null' in (tmp_path / 'last_run.json').read_text()


def test_the_summary_has_the_measures_as_numbers(tmp_path):
    write_summary(tmp_path / 'last_run.json', {}, outcome(measures=MEASURES), seconds=1.0)

    summary = json.loads((tmp_path / 'last_run.json').read_text())
    assert summary['measures'][AUC] == {'value': 0.991, 'low': 0.974, 'high': 0.997}
    assert summary['pushed_to'] == '/m/2'
