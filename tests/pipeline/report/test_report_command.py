"""The `report` command: names of runs, comparison, pages."""

import dataclasses
import os
import re

import click.testing
import pytest
from example_run import REASON, REJECTED, VERSION, example

from common.blessing import ManualOverride, write_override
from common.errors import ModelError
from components.pusher.serving_folder import NOTE_FILE, About, Note
from pipeline.commands import report as command
from pipeline.report.content.page_data import PageImages
from pipeline.report.page.render import render_page
from pipeline.report.store import find_report, store_report, stored_reports
from pipeline_runner import main

HELD_OUT = {
    **dict.fromkeys(('seen', 'repeated', 'same_bytes', 'near_duplicates', 'same_group'), 9),
    'kept': 9,
    'kept_by_class': {'cats': 4, 'dogs': 5},
}
FIRST, SECOND = '2026-11-20T18:04:54', '2026-11-21T18:04:54'


@pytest.fixture
def home(tmp_path):
    """Two runs; the second one was rejected and has a different recipe and more images."""
    earlier = example(FIRST, test_images='a')
    more = {**earlier.data.counts, 'train': {'cats': 700, 'dogs': 594}}
    later = example(
        SECOND,
        REJECTED,
        better=-0.012,
        data=earlier.data.model_copy(update={'counts': more}),
        recipe={'trainer': {'batch_size': 99}},
        test_images='a',
    )
    for time, run in enumerate((earlier, later)):
        store_report(tmp_path / 'demo', run, render_page(run, PageImages()), keep=9)
        os.utime(tmp_path / 'demo' / 'reports' / f'{run.run_id}.json', (time, time))
    push(tmp_path / 'demo', VERSION, FIRST)
    return tmp_path / 'demo'


def push(home, version, run):
    """A version in the serving folder with the model of a run."""
    folder = home / 'serving' / version
    (folder / NOTE_FILE).parent.mkdir(parents=True)
    about = About(model=f'/models/{run}')
    note = Note(version=int(version), pushed='2026-11-22T09:00Z', about=about)
    (folder / NOTE_FILE).write_text(note.model_dump_json())


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


def page_of(home, run):
    return (home / 'reports' / f'{run}.html').read_text()


def test_pages_follow_a_later_push(home, call, words):
    push(home, '1795999999', SECOND)  # as bless does

    call()

    assert 'Live as version 1795999999 , since 2026-11-22 09:00 UTC' in words(page_of(home, SECOND))
    first = words(page_of(home, FIRST))
    assert (
        'Blessed, not live Pushed as version 1795284347 on 2026-11-22 09:00 UTC; the newest'
        in first
    )
    assert 'Live as' not in first


def test_pages_follow_manual_overrides(home, call, words, tmp_path):
    later = example('2026-11-22T07:00:00')
    model = dataclasses.replace(later.origin.model, artifact=str(tmp_path / 'model'))
    origin = dataclasses.replace(later.origin, model=model)
    later = later.model_copy(update={'origin': origin})
    store_report(home, later, render_page(later, PageImages()), keep=9)
    (tmp_path / 'model').mkdir()
    values = {'person': 'eve', 'reason': 'wrong labels', 'moment': '2026-11-22T09:00Z'}
    write_override(tmp_path / 'model', ManualOverride(blessed=False, **values))

    call()

    withdrawn = 'its blessing was manually withdrawn by eve: wrong labels'
    page = words(page_of(home, later.run_id))
    assert f'Version {VERSION} is live. manual override {withdrawn}' in page


def test_only_the_last_run_of_a_live_model_is_live(home, call, words):
    origin = example(FIRST).origin  # its model
    again = example('2026-11-22T07:00:00', origin=origin)
    store_report(home, again, render_page(again, PageImages()), keep=9)

    call()

    assert 'Live as version' in words(page_of(home, again.run_id))
    assert f'The report of run {again.run_id} has the present state.' in words(page_of(home, FIRST))


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'test_images': 'b'}, 'the models were evaluated on different test images'),
        ({'test_images': None}, 'the test images of a run are not known'),
        ({'classes': ('cats', 'dogs', 'owls')}, 'the models have different classes'),
        ({'held_out': HELD_OUT}, 'the models were evaluated on different test images'),
    ],
)
def test_metrics_on_other_images_or_classes_are_not_subtracted(home, call, words, changes, reason):
    for run_id, better, more in (('a', 0, {}), ('b', 0.01, changes)):
        run = example(run_id, better=better, **{'test_images': 'a', **more})
        store_report(home, run, 'page', keep=9)

    call('--compare', 'a', 'b')
    text = words((home / 'reports' / 'comparison.html').read_text())

    assert f'No differences: {reason}.' in text
    metrics = text.partition('Metrics')[2].partition('Slices')[0]
    assert '+0.01' not in metrics


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


def test_run_compared_with_itself_has_no_differences(home, call, words):
    call('--compare', 'last', 'last')
    text = words((home / 'reports' / 'comparison.html').read_text())

    assert 'Both runs have the same recipe, numbers of images, spans and code.' in text


@pytest.mark.parametrize('contents', [b'{"recipe": "demo"}', b'\xff'])
def test_rejects_comparison_with_unreadable_data(home, call, contents):
    (home / 'reports' / f'{FIRST}.json').write_bytes(contents)

    done = call('--compare', 'last', FIRST)

    assert done.exit_code == 2
    assert 'was written by another version of this program' in done.stderr


def test_page_that_is_no_text_does_not_end_the_command(home, call):
    (home / 'reports' / f'{FIRST}.html').write_bytes(b'\xff')

    done = call()

    assert done.exit_code == 0


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
