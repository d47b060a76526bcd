"""The `report` command: names of runs, comparison, list."""

import os
import re

import click.testing
import pytest
from example_run import REASON, REJECTED, example

from common.errors import ModelError
from pipeline.commands import report as command
from pipeline.report.store import find_report, store_report, stored_reports
from pipeline_runner import main

FIRST, SECOND = '2026-11-20T18:04:54', '2026-11-21T18:04:54'


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
    for time, run in enumerate((earlier, later)):
        store_report(tmp_path / 'demo', run, 'page', keep=9)
        os.utime(tmp_path / 'demo' / 'reports' / f'{run.run_id}.json', (time, time))
    return tmp_path / 'demo'


@pytest.fixture
def call(tmp_path):
    def run(*arguments):
        options = ['report', '--workdir', str(tmp_path), '--no-open', *arguments]
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
    [('2025', "no report matches '2025'"), ('2026', "2 reports match '2026'")],
)
def test_unknown_or_ambiguous_name_lists_known_reports(home, call, name, problem):
    done = call(name)

    assert done.exit_code == 2
    assert done.stderr == f'error: {problem}; there are last, previous, {SECOND}, {FIRST}\n'


def test_reports_missing_run_and_removed_page(call, request):
    missing = call()
    home = request.getfixturevalue('home')
    (home / 'reports' / f'{SECOND}.html').unlink()
    removed = call()

    assert (missing.exit_code, removed.exit_code) == (2, 2)
    assert missing.stderr.startswith('error: there are no reports in ')
    assert removed.stderr.endswith('.html cannot be used: No such file or directory\n')


def test_lists_reports_newest_first(home, call):
    (home / 'reports' / 'odd.json').write_text('{}')

    lines = call('--list').stdout.splitlines()

    assert lines[0] == 'odd  written by another version of this program'
    assert lines[1:] == [f'{SECOND}  not live', f'{FIRST}  live']


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
    assert 'train, cats 587 700 +113' in text
    assert re.findall(r'(?:src|href)="(?!#|data:)', page) == []


def test_run_compared_with_itself_has_no_differences(home, call, words):
    call('--compare', 'last', 'last')
    text = words((home / 'reports' / 'comparison.html').read_text())

    assert 'Both runs have the same recipe.' in text
    assert 'Both models have the same spans, code and parents.' in text


@pytest.mark.parametrize('contents', [b'{"recipe": "demo"}', b'\xff'])
def test_rejects_comparison_with_unreadable_data(home, call, contents):
    (home / 'reports' / f'{FIRST}.json').write_bytes(contents)

    done = call('--compare', 'last', FIRST)

    assert done.exit_code == 2
    assert 'was written by another version of this program' in done.stderr


def test_removes_oldest_reports(tmp_path):
    for number in range(4):
        store_report(tmp_path, example(f'run-{number}'), 'page', keep=2)

    assert [each.run_id for each in stored_reports(tmp_path)] == ['run-2', 'run-3']
    assert not (tmp_path / 'reports' / 'run-0.html').exists()
    with pytest.raises(ModelError, match="no report matches 'run-0'"):
        find_report(tmp_path, 'run-0')


def test_opens_browser_only_with_a_display_outside_of_ci(home, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(command.webbrowser, 'open', opened.append)
    for ci in ('', '1'):
        monkeypatch.setenv('DISPLAY', ':0')
        monkeypatch.setenv('CI', ci)
        click.testing.CliRunner().invoke(main, ['report', '--workdir', str(tmp_path)])

    assert opened == [(home / 'reports' / f'{SECOND}.html').as_uri()]
