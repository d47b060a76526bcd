"""The printed record of a run."""

import sys

import pytest
from example_record import record

from common import console
from components.evaluation.gate.verdict import Ruling, Verdict
from components.evaluation.results import AUC, ECE, LOG_LOSS, Estimate
from pipeline.execution.outcome import show_run

METRICS = {
    AUC: Estimate(value=0.991, low=0.974, high=0.997),
    ECE: Estimate(value=None),
    LOG_LOSS: Estimate(value=0.2),
}
BLOCKING = Ruling(
    rule='floors',
    result='failed',
    reason='dark',
    blocks=True,
    remedy='train on more dark images; add test images',
    settings={'evaluation.floors': {'brightness.dark': 0.8}},
)
REJECTED = {
    'result': 'not blessed',
    'reasons': ('too [bold]low', 'b'),
    'verdict': Verdict(rulings=(BLOCKING,)),
}


@pytest.fixture
def printed(capsys):
    """`printed(**changes)`: what `show_run` prints of a run that pushed its model."""

    def show(**changes):
        with console.output_to(sys.stdout):
            show_run(record(**changes))
        return capsys.readouterr().out

    return show


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({}, 'BLESSED and pushed to /serving/7'),
        ({'unchanged': True}, 'BLESSED, unchanged; live in /serving/7'),
        ({'unchanged': True, 'live_version': '8'}, 'but the newest version there is 8'),
        ({'live_version': '8'}, 'pushed to /serving/7, but the newest version there'),
        ({'live_version': None}, 'but the newest version there is none'),
        (
            REJECTED,
            'NOT BLESSED: too [bold]low; b\nremedy: train on more dark images; add test images; '
            'or accept this model with evaluation.floors: {"brightness.dark": 0.8}\n',
        ),
        ({}, 'test accuracy 0.9500 (minimum 0.9000, not compared with a live model)'),
        ({'previous_accuracy': 0.9}, 'minimum 0.9000, live model 0.9000)'),
        ({'manual_override': 'manually blessed by eve: a demo'}, 'by eve: a demo\nBLESSED'),
        ({'metrics': METRICS}, 'AUC 0.991 (0.974 to 0.997), ECE NaN; 95 % confidence'),
        ({'accuracy': None}, 'test accuracy NaN (minimum'),
        ({'warnings': ('width of [b] moved',)}, 'warning: width of [b] moved'),
        (
            {'images': 2000, 'left_out': {'empty': 2}},
            'warning: 2 of 2,002 images are left out: 2 empty\n',
        ),
    ],
)
def test_prints_record(changes, words, printed):
    assert words in printed(**changes)


def test_override_has_no_remedy(printed):
    assert 'remedy' not in printed(**REJECTED, manual_override='withdrawn by eve')


def test_prints_at_most_five_findings(printed):
    lines = printed(warnings=[f'finding {n}' for n in range(7)], left_out={'empty': 1}).splitlines()
    findings = [line for line in lines if line.startswith('warning: ')]
    assert 'images are left out' in findings[0]
    assert findings[4] == 'warning: finding 3'
    assert findings[5:] == ['warning: 3 more warnings are in the report']


def test_first_line_has_the_longest_components(printed):
    nodes = {'Examples': 5.0, 'Resolver': 0.04, 'Trainer': 1234.56, 'Check': 0.1, 'Transform': 7.0}
    first, *_ = printed(nodes=nodes, cached=('Transform',), seconds=2000).splitlines()
    expected = '2000.0 s: Trainer 1234.6, Examples 5.0, Check 0.1; 1 of 5 components cached'
    assert first == expected


def test_quiet_prints_decision_and_warnings_only(printed):
    with console.quiet():
        text = printed(result='not blessed', reasons=('too low',), warnings=('dark',))
    assert text == 'warning: dark\nNOT BLESSED: too low\n'
