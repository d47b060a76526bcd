"""The `report` command: names of runs, text, removal of old reports, the browser."""

import os

import click.testing
import pytest
from example_record import record
from example_run import REASON, REJECTED, VERSION, example, store

from components.pusher.serving_folder import About
from pipeline.commands import report as command
from pipeline.report.store import reported_runs
from pipeline.run.record import record_override, write_run
from pipeline_runner import main

FIRST, SECOND = '2026-11-20T18:04:54', '2026-11-21T18:04:54'
LATER = '2026-11-21T19:00:00Z'


@pytest.fixture
def home(tmp_path):
    """Two runs, the second one rejected, whose files were copied in the wrong order."""
    for age, run in enumerate((example(SECOND, REJECTED), example(FIRST))):
        store(tmp_path / 'demo', run)
        for file in (tmp_path / 'demo').rglob(f'{run.id}.*'):
            os.utime(file, (age, age))
    return tmp_path / 'demo'


@pytest.fixture
def call(tmp_path):
    def run(*arguments):
        options = ['report', '--config=demo', '--workdir', str(tmp_path), *arguments]
        return click.testing.CliRunner().invoke(main, options)

    return run


@pytest.mark.parametrize(
    ('name', 'run'),
    [(None, SECOND), ('last', SECOND), ('previous', FIRST), (FIRST, FIRST), ('2026-11-20', FIRST)],
)
def test_finds_report_by_position_id_or_prefix(home, call, name, run):
    done = call('--no-open', *filter(None, [name]))

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


def test_missing_report_is_an_error(call, request):
    missing = call()
    (request.getfixturevalue('home') / 'reports' / f'{SECOND}.html').unlink()
    removed = call(SECOND)

    assert (missing.exit_code, removed.exit_code) == (2, 2)
    assert missing.stderr.startswith('error: there are no runs with a report in ')
    assert removed.stderr.endswith(f'there are last, {FIRST}\n')


def test_text_has_the_decision_rule_by_rule(home, call):
    live, rejected = call('previous', '--text'), call('--text')

    lines = live.stdout.splitlines()
    assert lines[0].startswith(f'BLESSED: filtered_160, run {FIRST}, ')
    assert f'live then: version {VERSION}' in lines
    assert 'passed      accuracy 0.970, minimum 0.95 (n=402)' in lines
    assert rejected.stdout.startswith(f'NOT BLESSED: filtered_160, run {SECOND}, ')
    assert f'failed      {REASON}' in rejected.stdout


def test_text_of_a_failed_run_has_its_error(home, call):
    failed = {'result': 'failed', 'reasons': ('Trainer failed: no space',), 'gate': None}
    write_run(home, record(id='x', started=LATER, decision='span 3 is new', **failed))
    record_override(home, 'bless', About(recipe='pets', person='ann', reason='good'), '8')

    text = call('--text').stdout

    assert text.startswith('failed: pets, run x, ')
    assert 'error: Trainer failed: no space' in text
    assert 'trained because: span 3 is new' in text


def test_removes_oldest_reports(tmp_path):
    for number in range(4):
        store(tmp_path, example(f'run-{number}'), keep=2)

    assert [each.id for each in reported_runs(tmp_path)] == ['run-2', 'run-3']
    assert not (tmp_path / 'reports' / 'run-0.html').exists()


def test_opens_browser_only_with_a_display_outside_of_ci(home, call, monkeypatch):
    opened = []
    monkeypatch.setattr(command.webbrowser, 'open', opened.append)
    monkeypatch.setenv('DISPLAY', ':0')
    for ci in ('', '1'):
        monkeypatch.setenv('CI', ci)
        call()

    assert opened == [(home / 'reports' / f'{SECOND}.html').as_uri()]
