"""The `report` command: names of runs, comparison, pages."""

import os
import re

import click.testing
import pytest
from example_record import record
from example_run import REASON, REJECTED, VERSION, example, store

from components.pusher.serving_folder import About
from pipeline.commands import report as command
from pipeline.report.page.render import render_page
from pipeline.report.page_data import PageImages
from pipeline.report.store import reported_runs
from pipeline.run.record import record_override, write_run
from pipeline_runner import main

FIRST, SECOND = '2026-11-20T18:04:54', '2026-11-21T18:04:54'
LATER = '2026-11-21T19:00:00Z'


@pytest.fixture
def home(tmp_path):
    """Two runs; the second one was rejected and has a different recipe and more images."""
    earlier = example(FIRST)
    more = {**earlier.data.counts, 'train': {'cats': 700, 'dogs': 594}}
    later = example(
        SECOND,
        REJECTED,
        better=-0.012,
        data=earlier.data.model_copy(update={'counts': more}),
        recipe={'trainer': {'batch_size': 99}},
    )
    for age, run in enumerate((later, earlier)):  # copied in the wrong order
        store(tmp_path / 'demo', run, render_page(run, PageImages()))
        for file in (tmp_path / 'demo').rglob(f'{run.id}.*'):
            os.utime(file, (age, age))
    return tmp_path / 'demo'


@pytest.fixture
def call(tmp_path):
    def run(*arguments):
        options = ['report', '--config=demo', '--workdir', str(tmp_path), '--no-open', *arguments]
        return click.testing.CliRunner().invoke(main, options)

    return run


@pytest.mark.parametrize(
    ('name', 'run'),
    [(None, SECOND), ('last', SECOND), ('previous', FIRST), (FIRST, FIRST), ('2026-11-20', FIRST)],
)
def test_finds_report_by_position_id_or_prefix(home, call, name, run):
    done = call(*filter(None, [name]))

    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(home / 'reports' / f'{run}.html')


@pytest.mark.parametrize(
    ('name', 'problem'),
    [('2025', "no runs match '2025'"), ('2026', "2 runs match '2026'")],
)
def test_unknown_or_ambiguous_name_lists_known_reports(home, call, name, problem):
    done = call(name)

    assert done.exit_code == 2
    assert done.stderr == f'error: {problem}; there are last, previous, {SECOND}, {FIRST}\n'


def test_missing_runs_pages_and_data_are_errors(call, request):
    missing = call()
    reports = request.getfixturevalue('home') / 'reports'
    (reports / f'{SECOND}.html').unlink()
    (reports / f'{FIRST}.json').write_bytes(b'\xff')
    removed, damaged = call(), call('--compare', 'last', FIRST)

    assert (missing.exit_code, removed.exit_code, damaged.exit_code) == (2, 2, 2)
    assert missing.stderr.startswith('error: there are no runs with a report in ')
    assert removed.stderr.endswith('.html cannot be used: No such file or directory\n')
    assert 'was written by another version of this program' in damaged.stderr


def test_text_has_the_decision_rule_by_rule(home, call):
    live, rejected = call('previous', '--text'), call('--text')

    lines = live.stdout.splitlines()
    assert lines[0].startswith(f'BLESSED: filtered_160, run {FIRST}, ')
    assert f'live then: version {VERSION}' in lines
    assert 'passed      accuracy 0.970, baseline 0.95 (n=402)' in lines
    assert rejected.stdout.startswith(f'NOT BLESSED: filtered_160, run {SECOND}, ')
    assert f'failed      {REASON}' in rejected.stdout


def test_text_of_a_failed_run_has_its_error(home, call):
    failed = {'result': 'failed', 'reasons': ('Trainer failed: no space',), 'verdict': None}
    write_run(home, record(id='x', started=LATER, decision='span 3 is new', **failed))
    record_override(home, 'bless', About(recipe='pets', person='ann', reason='good'), '8')

    text = call('--text').stdout

    assert text.startswith('failed: pets, run x, ')
    assert 'error: Trainer failed: no space' in text
    assert 'trained because: span 3 is new' in text


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'test_images': 'b'}, 'the models were evaluated on different test images'),
        ({'classes': ('cats', 'dogs', 'owls')}, 'the models have different classes'),
        (
            {'held_out': example().held_out.model_copy(update={'kept': 9})},
            'the models were evaluated on different test images',
        ),
    ],
    ids=['images', 'classes', 'held out'],
)
def test_metrics_on_other_images_or_classes_are_not_subtracted(home, call, words, changes, reason):
    store(home, example('a'))
    store(home, example('b', better=0.01, **changes))

    call('--compare', 'a', 'b')
    text = words((home / 'reports' / 'comparison.html').read_text())

    assert f'No differences: {reason}.' in text
    assert '+0.01' not in text.partition('Metrics')[2].partition('Slices')[0]


def test_compares_two_runs(home, call, words):
    done = call('--compare', 'previous', 'last')
    page = (home / 'reports' / 'comparison.html').read_text()
    text = words(page)

    assert done.stdout.strip() == str(home / 'reports' / 'comparison.html')
    assert f'A: run {FIRST} Live' in text
    assert f'B: run {SECOND} Not live' in text
    assert REASON in text
    assert '0.9701 0.9486–0.9828 0.9577 0.9333–0.9734 −0.0124' in text  # noqa: RUF001
    assert 'trainer.batch_size 32 99' in text
    assert 'images of train 1181 1294' in text
    assert re.findall(r'(?:src|href)="(?!#|data:)', page) == []

    call('--compare', 'last', 'last')
    text = words((home / 'reports' / 'comparison.html').read_text())
    assert 'Both runs have the same recipe, numbers of images, spans and code.' in text


def test_removes_oldest_reports(tmp_path):
    for number in range(4):
        store(tmp_path, example(f'run-{number}'), keep=2)

    assert [each.id for each in reported_runs(tmp_path)] == ['run-2', 'run-3']
    assert not (tmp_path / 'reports' / 'run-0.html').exists()


def test_opens_browser_only_with_a_display_outside_of_ci(home, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(command.webbrowser, 'open', opened.append)
    for ci in ('', '1'):
        monkeypatch.setenv('DISPLAY', ':0')
        monkeypatch.setenv('CI', ci)
        click.testing.CliRunner().invoke(main, ['report', '--workdir', str(tmp_path)])

    assert opened == [(home / 'reports' / f'{SECOND}.html').as_uri()]
