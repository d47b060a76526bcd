"""Printed outcome and JSON summary of a run."""

import json
import sys
from pathlib import Path

import pytest
from example_outcome import outcome

from common import console
from components.evaluation.results import AUC, ECE, LOG_LOSS, Estimate
from components.image_example_gen.ingestion.ingested import Tally
from pipeline.execution.launch import NodeResult
from pipeline.execution.outcome import show_outcome, write_summary
from pipeline.execution.run_artifacts import Images

METRICS = {
    AUC: Estimate(value=0.991, low=0.974, high=0.997),
    ECE: Estimate(value=None),
    LOG_LOSS: Estimate(value=0.2),
}


@pytest.fixture
def printed(capsys):
    """`printed(outcome, results=(), seconds=1.0)`: what `show_outcome` prints."""

    def show(end, results=(), seconds=1.0):
        with console.output_to(sys.stdout):
            show_outcome({result.node_id: result for result in results}, end, seconds)
        return capsys.readouterr().out

    return show


@pytest.mark.parametrize(
    ('end', 'words'),
    [
        (outcome(), 'BLESSED and pushed to /serving/7'),
        (outcome(unchanged=True), 'BLESSED, unchanged; live in /serving/7'),
        (outcome(unchanged=True, newest_version=Path('/8')), 'but the newest version there is /8'),
        (outcome(newest_version=Path('/8')), 'pushed to /serving/7, but the newest version there'),
        (outcome(unchanged=True, newest_version=None), 'but the newest version there is none'),
        (outcome(blessed=False, reasons=('too [bold]low', 'b')), 'NOT BLESSED: too [bold]low; b'),
        (
            outcome(
                blessed=False,
                reasons=('dark',),
                remedies=('train on more dark images', 'add test images'),
                settings={'evaluation.floors': {'brightness.dark': 0.8}},
            ),
            'NOT BLESSED: dark\nremedy: train on more dark images; add test images; or accept '
            'this model with evaluation.floors: {"brightness.dark": 0.8}\n',
        ),
        (outcome(), 'test accuracy 0.9500 (baseline 0.9000, no previous model of these classes)'),
        (outcome(previous_accuracy=0.9), 'baseline 0.9000, previous model 0.9000)'),
        (
            outcome(manual_override='manually blessed by eve: a demo'),
            'manually blessed by eve: a demo\nBLES',
        ),
        (outcome(metrics=METRICS), 'AUC 0.991 (0.974 to 0.997), ECE NaN; 95 % confidence'),
        (outcome(accuracy=None), 'test accuracy NaN (baseline'),
        (outcome(warnings=('width of [b] moved',)), 'warning: width of [b] moved'),
        (
            outcome(images=Images(Tally(seen=2002, bad={'empty': 2}), (Path('/q/list'),))),
            '2,000 of 2,002 images used; 2 quarantined (2 empty)\n  quarantined: /q/list\n',
        ),
    ],
)
def test_prints_outcome(end, words, printed):
    assert words in printed(end)


def test_table_has_a_row_for_each_long_component_only(printed):
    results = [
        NodeResult('Trainer', 1234.56, cached=False, outputs={}),
        NodeResult('baseline_resolver', 0.04, cached=False, outputs={}),
        NodeResult('ServingCheck', 0.1, cached=False, outputs={}),
        NodeResult('Transform', 0.2, cached=True, outputs={}),
        NodeResult('Pusher', 0.09, cached=False, outputs={}),
    ]
    lines = printed(outcome(), results, seconds=2000).splitlines()

    assert [line.rstrip() for line in lines[:8]] == [
        '',
        'component                 time',
        'Trainer              1,234.6 s',
        'ServingCheck             0.1 s',
        'total, with imports  2,000.0 s',
        '2 components under 0.1 s: BaselineResolver, Pusher',
        '1 component cached: Transform',
        '',
    ]


def test_quiet_prints_decision_and_warnings_only(printed):
    with console.quiet():
        text = printed(outcome(blessed=False, reasons=('too low',), warnings=('dark',)))

    assert text == 'warning: dark\nNOT BLESSED: too low\n'


def test_summary_has_outcome_and_durations(tmp_path):
    images = Images(Tally(seen=3, bad={'empty': 1}), (Path('/q/\udce9'),))
    results = {'pre_x': NodeResult('pre_x', 1.5, cached=True, outputs={})}
    end = outcome(accuracy=None, metrics=METRICS, images=images)
    write_summary(tmp_path / 'last_run.json', results, end, seconds=2.0)

    summary = json.loads((tmp_path / 'last_run.json').read_text())
    assert summary['seconds'] == 2
    assert summary['components'] == {'PreX': {'seconds': 1.5, 'cached': True}}
    assert summary['metrics'][AUC] == {'value': 0.991, 'low': 0.974, 'high': 0.997}
    assert summary['images']['tally']['bad'] == {'empty': 1}
    assert summary['images']['lists'] == ['/q/\udce9']
    assert (summary['pushed_to'], summary['accuracy']) == ('/serving/7', None)
