"""What a person sees of ticks, of what is live, and of the next time."""

import datetime
import json
import os

import click.testing
import filelock
import pytest
from rich.console import Console

from pipeline.config.recipe import Recipe
from pipeline.retraining import schedule_status as view
from pipeline.retraining.journal import Journal
from pipeline.retraining.schedule_status import read_status
from pipeline_runner import main

NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.timezone.utc)


@pytest.fixture
def recipe(tmp_path):
    return Recipe(name='pets', workdir=tmp_path)


@pytest.fixture
def journal(recipe):
    recipe.home.mkdir()
    return Journal(recipe.home / 'ticks.jsonl')


def shown(recipe) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(view.as_table(read_status(recipe, NOW)))
    return capture.get()


def test_a_recipe_that_never_ticked_says_so_and_leaves_no_trace(recipe):
    text = shown(recipe)
    assert 'no ticks yet' in text
    assert 'live: nothing was pushed yet' in text
    assert 'next: no schedule was started here' in text
    assert not recipe.home.exists()


def test_a_tick_shows_its_decision_its_verdict_and_its_numbers(recipe, journal):
    tick = journal.start(NOW)
    journal.note(tick, decision='span 4 is new', train=True, spans=[3, 4], new=[4])
    journal.note(
        tick,
        verdict='not blessed',
        reason='the live model stays: worse',
        accuracy=0.9,
        previous_accuracy=0.95,
    )
    (line,) = [line for line in shown(recipe).splitlines() if 'not blessed' in line]
    for word in ('3 and 4', '0.9000', '0.9500', 'span 4 is new; the live model stays: worse'):
        assert word in line


def test_only_the_last_ticks_are_shown(recipe, journal):
    for hour in range(15):
        journal.note(journal.start(NOW + datetime.timedelta(hours=hour)), verdict='skipped')
    assert len(read_status(recipe, NOW, last=10).ticks) == 10


def test_a_tick_without_an_end_was_killed_unless_it_goes_on(recipe, journal):
    journal.start(NOW)
    journal.start(NOW + datetime.timedelta(hours=1))
    assert [each.verdict for each in read_status(recipe, NOW).ticks] == ['killed', 'killed']
    with filelock.FileLock(recipe.home / '.tick.lock'):
        assert [each.verdict for each in read_status(recipe, NOW).ticks] == ['killed', None]
        assert 'going on' in shown(recipe)


def test_a_tick_goes_on_while_others_are_skipped(recipe, journal):
    journal.start(NOW)
    journal.start(NOW + datetime.timedelta(hours=1), verdict='skipped')
    with filelock.FileLock(recipe.home / '.tick.lock'):
        assert [each.verdict for each in read_status(recipe, NOW).ticks] == [None, 'skipped']
    assert [each.verdict for each in read_status(recipe, NOW).ticks] == ['killed', 'skipped']


@pytest.fixture
def schedule(recipe, journal):
    values = {'cron': '0 2 * * *', 'timezone': 'UTC', 'pid': os.getpid(), 'started': 'x'}
    (recipe.home / 'schedule.json').write_text(json.dumps(values))


def test_a_user_who_may_only_read_sees_what_goes_on(recipe, journal, schedule, monkeypatch):
    journal.start(NOW)
    locks = [filelock.FileLock(recipe.home / name) for name in ('.tick.lock', '.schedule.lock')]
    with locks[0], locks[1]:
        monkeypatch.setattr(os, 'access', lambda *_: False)  # root may do anything
        text = shown(recipe)
    assert 'going on' in text
    assert 'next: 2026-11-22 02:00 UTC' in text


def test_locks_that_cannot_be_read_are_told(recipe, journal, schedule):
    journal.start(NOW)
    for name in ('.tick.lock', '.schedule.lock'):
        (recipe.home / name).symlink_to(name)  # a loop, which root cannot open either
    text = shown(recipe)
    assert 'cannot tell' in text
    assert 'killed' not in text
    assert 'next: cannot tell whether the schedule (At 02:00 (UTC)) is running; its' in text


def call(workdir, *options):
    command = ['status', '--set', 'name=pets', '--workdir', str(workdir), *options]
    return click.testing.CliRunner().invoke(main, command)


def test_a_journal_that_cannot_be_read_is_told(recipe, tmp_path):
    (recipe.home / 'ticks.jsonl').mkdir(parents=True)
    done = call(tmp_path)
    assert done.exit_code == 2
    assert done.stderr == f'error: {recipe.home}/ticks.jsonl cannot be used: Is a directory\n'


def test_a_workdir_that_is_a_file_is_told(tmp_path):
    (tmp_path / 'runs').write_text('')
    done = call(tmp_path / 'runs')
    assert done.exit_code == 2
    assert done.stderr.endswith('cannot be used: Not a directory\n')


@pytest.mark.parametrize('last', ['0', '-1'])
def test_at_least_one_tick_is_shown(tmp_path, last):
    done = call(tmp_path, '--last', last)
    assert done.exit_code == 2
    assert 'is not in the range x>=1' in done.stderr


def test_the_newest_version_is_live_with_the_run_that_pushed_it(recipe, recorder, monkeypatch):
    recorder.run({1: 'a'}, destination=str(recipe.serving_directory))
    recorder.run({1: 'a', 2: 'b'}, destination=str(recipe.serving_directory))
    monkeypatch.setattr(view, 'existing_store', lambda *_: recorder.store)
    for version in ('1001', '1002', 'tmp'):
        (recipe.serving_directory / version).mkdir(parents=True)
    text = shown(recipe)
    assert 'live: 1002 since ' in text
    assert 'by run run-2, trained on spans 1 and 2' in text
    (recipe.serving_directory / '2000').mkdir()
    assert '/2000, which no run of pets has pushed' in shown(recipe)


def test_the_next_time_is_told_while_the_schedule_is_alive(recipe, schedule):
    assert 'next: none; the schedule (At 02:00 (UTC)) is not running' in shown(recipe)
    with filelock.FileLock(recipe.home / '.schedule.lock'):
        assert f'next: 2026-11-22 02:00 UTC; At 02:00 (UTC); process {os.getpid()}' in shown(recipe)


def test_programs_get_the_same_as_json(recipe, journal):
    journal.note(journal.start(NOW), verdict='skipped', reason='another')
    values = json.loads(view.as_json(read_status(recipe, NOW)))
    assert values['recipe'] == 'pets'
    assert values['ticks'][0]['verdict'] == 'skipped'
    assert values['live'] is None
