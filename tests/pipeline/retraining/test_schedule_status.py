"""The status command: ticks, the live model, and the next tick."""

import datetime
import json

import pytest
from rich.console import Console

from common.errors import AlreadyRunning
from common.files import locked
from pipeline.config.recipe import Recipe
from pipeline.registry.lease import hold_lease
from pipeline.retraining import schedule_status as module
from pipeline.retraining.journal import Journal, Tick
from pipeline.retraining.schedule_status import as_table, read_status

NOW = datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.timezone.utc)
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def recipe(tmp_path):
    return Recipe(name='pets', workdir=tmp_path)


@pytest.fixture
def journal(recipe):
    recipe.home.mkdir()
    return Journal(recipe.home)


@pytest.fixture
def schedule(recipe, journal):
    values = {'schedule': {'cron': '0 2 * * *', 'timezone': 'UTC'}, 'pid': 7}
    (recipe.home / 'schedule.json').write_text(json.dumps(values))


def table(recipe) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(as_table(read_status(recipe, NOW)))
    return capture.get()


def test_recipe_without_ticks_stays_without_files(recipe):
    text = table(recipe)
    assert 'no ticks yet' in text
    assert 'live: no model was pushed yet' in text
    assert 'next: no schedule was started on this machine' in text
    assert not recipe.home.exists()


def test_shows_decision_verdict_and_accuracy(recipe, journal):
    journal.start(
        NOW,
        decision='span 4 is new',
        spans=[3, 4],
        new=[4],
        verdict='not blessed',
        reason='the live model stays: worse',
        accuracy=0.9,
        previous_accuracy=0.95,
    )
    (line,) = [line for line in table(recipe).splitlines() if 'not blessed' in line]
    for word in ('3 and 4', '0.9000', '0.9500', 'span 4 is new; the live model stays: worse'):
        assert word in line


def test_shows_only_the_last_ticks(recipe, journal):
    ticks = [journal.start(NOW + number * HOUR, verdict='skipped') for number in range(3)]
    assert list(read_status(recipe, NOW, last=2).ticks) == ticks[1:]


def test_tick_without_verdict_was_killed_or_is_running(recipe, journal):
    def verdicts() -> list[str | None]:
        return [tick.verdict for tick in read_status(recipe, NOW).ticks]

    journal.start(NOW)
    journal.start(NOW + HOUR)
    journal.start(NOW + 2 * HOUR, verdict='skipped')
    assert verdicts() == ['killed', 'killed', 'skipped']
    with locked(recipe.home / '.tick.lock', AlreadyRunning()):
        assert verdicts() == ['killed', None, 'skipped']
        assert 'running' in table(recipe)
    (recipe.home / '.tick.lock').touch()  # not held
    assert verdicts() == ['killed', 'killed', 'skipped']


def test_run_on_a_cluster_runs_while_it_holds_the_lease(recipe, journal, recorder, monkeypatch):
    monkeypatch.setattr(module, 'existing_store', lambda *_: recorder.store)
    hold_lease(recorder.store, 'pets', 'run-2')
    for number in (1, 2):
        journal.write(Tick(tick=f'run-{number}', run=f'run-{number}', started=NOW))

    assert [tick.verdict for tick in read_status(recipe, NOW).ticks] == ['killed', None]


def test_shows_next_tick_of_a_running_schedule(recipe, schedule):
    assert 'next: none; the schedule (At 02:00 every day (UTC)) is not running' in table(recipe)
    with locked(recipe.home / '.schedule.lock', AlreadyRunning()):
        text = table(recipe)
    assert 'next: 2026-11-22 02:00 UTC; At 02:00 every day (UTC); process 7' in text


def test_live_model_is_shown_with_its_spans(recipe, recorder, monkeypatch):
    recorder.run({1: 'a', 2: 'b'}, destination=str(recipe.serving_directory))
    monkeypatch.setattr(module, 'existing_store', lambda *_: recorder.store)
    (recipe.serving_directory / '1001').mkdir(parents=True)
    text = table(recipe)
    assert '/pets/serving/1001, pushed at 20' in text
    assert 'trained on spans 1 and 2' in text
    (recipe.serving_directory / '2000').mkdir()
    assert '/2000, not pushed from here' in table(recipe)


def test_shows_what_the_bucket_serves(recipe, s3_bucket):
    push = recipe.push.model_copy(update={'url': s3_bucket.url})
    recipe = recipe.model_copy(update={'push': push})
    assert f'bucket: {s3_bucket.url} has no version yet\n' in table(recipe)
    s3_bucket.server.refuse = lambda method, path: True
    assert f'bucket: access to {s3_bucket.url} is denied' in table(recipe)


def test_command_prints_json(invoke, journal, schedule):
    journal.start(NOW, verdict='skipped', reason='another')
    values = json.loads(invoke('status', '--json').stdout)
    assert (values['recipe'], values['live']) == ('pets', None)
    assert values['ticks'][0]['verdict'] == 'skipped'
    assert values['schedule']['schedule'] == {'cron': '0 2 * * *', 'timezone': 'UTC'}
    assert (values['schedule']['next'], values['schedule']['pid']) == (None, 7)


@pytest.mark.parametrize('name', ['ticks.jsonl', '.tick.lock', 'schedule.json'])
def test_command_reports_unreadable_file(invoke, journal, recipe, name):
    (recipe.home / name).symlink_to(name)  # a loop, which root cannot open either
    done = invoke('status')
    assert done.exit_code == 2
    assert done.stderr.startswith(f'error: {recipe.home}/{name} cannot be used: Too many levels')


def test_piped_row_is_one_line(recipe, journal, invoke):
    reason = 'Trainer failed:\nno space in ' + '/folder' * 40
    journal.start(NOW, verdict='failed', reason=reason)

    _, row, *_ = invoke('status').stdout.splitlines()

    assert row.endswith('no space in ' + '/folder' * 40)
