"""What a person sees of ticks, of what is live, and of the next time."""

import datetime
import json
import os

import filelock
import pytest
from rich.console import Console

from pipeline.config import Recipe
from pipeline.retraining import status as view
from pipeline.retraining.journal import Journal
from pipeline.retraining.status import read_status

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
        tick, verdict='not blessed', reason='the live model stays: worse', accuracy=0.9,
        previous_accuracy=0.95,
    )  # fmt: skip
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


def test_the_next_time_is_told_while_the_schedule_is_alive(recipe, journal):
    values = {'cron': '0 2 * * *', 'timezone': 'UTC', 'pid': os.getpid(), 'started': 'x'}
    (recipe.home / 'schedule.json').write_text(json.dumps(values))
    assert 'next: none; the schedule (At 02:00 (UTC)) is not running' in shown(recipe)
    with filelock.FileLock(recipe.home / '.schedule.lock'):
        assert f'next: 2026-11-22 02:00 UTC; At 02:00 (UTC); process {os.getpid()}' in shown(recipe)


def test_programs_get_the_same_as_json(recipe, journal):
    journal.note(journal.start(NOW), verdict='skipped', reason='another')
    values = json.loads(view.as_json(read_status(recipe, NOW)))
    assert values['recipe'] == 'pets'
    assert values['ticks'][0]['verdict'] == 'skipped'
    assert values['live'] is None
