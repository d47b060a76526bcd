"""The record of a run: from its start to its end, also if a process is killed."""

import contextlib
import datetime
import json
import multiprocessing
import os
import shutil

import pytest
from example_record import PUSHED, STARTED, record

from common import files, storage
from common.errors import AlreadyRunning, ConfigError
from common.files import locked
from pipeline.config.recipe import recipe_of
from pipeline.report.store import store_report
from pipeline.run.record import (
    LAST_TICK,
    RECIPE_LOCK,
    RUNS,
    find_run,
    last_tick,
    read_runs,
    utc_now,
    write_run,
)
from pipeline.run.recording import Recording, new_run

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def recipe(tmp_path):
    recipe = recipe_of({'name': 'pets', 'workdir': str(tmp_path)})
    recipe.home.mkdir()
    return recipe


@pytest.fixture
def recording(recipe):
    """`recording('a', hours=2, kind='tick')`: of a run that started before."""

    def make(run='a', hours=0, **values):
        return Recording(recipe.home, new_run(recipe, utc_now() - hours * HOUR, id=run, **values))

    return make


def test_record_is_written_at_the_start_and_replaced_at_the_end(recipe, recording):
    with recording(hours=1) as writing:
        writing.start()
        (before,) = read_runs(recipe.home)
        writing.end(**PUSHED)
    (after,) = read_runs(recipe.home)
    assert (before.result, after.result, after.accuracy) == ('interrupted', 'blessed', 0.95)
    assert 3600 <= after.seconds < 3700
    assert after.config == recipe.model_dump(mode='json')
    assert [path.name for path in (recipe.home / RUNS).iterdir()] == ['a.json']


@pytest.mark.parametrize(
    ('error', 'end'),
    [
        (KeyboardInterrupt(), ('interrupted', ('interrupted',), 130)),
        (OSError('no space'), ('failed', ('OSError: no space',), 1)),
        (ConfigError('no layer'), ('failed', ('no layer',), 2)),
    ],
)
@pytest.mark.parametrize('state', ['not started', 'started', 'ended'])
def test_exception_is_the_end_of_a_started_run(recipe, recording, error, end, state):
    def fail():
        with recording() as writing:
            if state != 'not started':
                writing.start()
            if state == 'ended':
                writing.end(**PUSHED)
            raise error

    with pytest.raises(type(error)):
        fail()
    expected = {'not started': [], 'started': [end], 'ended': [('blessed', (), 0)]}[state]
    assert [(run.result, run.reasons, run.exit_code) for run in read_runs(recipe.home)] == expected


def test_record_that_cannot_be_written_is_a_warning(recipe, recording, caplog):
    (recipe.home / RUNS).write_text('')
    with recording() as writing:
        writing.start()
    assert 'run a cannot be recorded: ' in caplog.text


def test_run_is_running_while_it_holds_the_lock_of_the_recipe(recipe, recording):
    """Another command that holds the lock does not revive a killed run."""
    for name in ('a', 'b'):
        with locked(recipe.home / RECIPE_LOCK, AlreadyRunning()):
            recording(name).start()
            assert [run.result for run in read_runs(recipe.home)][-1] == 'running'
    with locked(recipe.home / RECIPE_LOCK, AlreadyRunning()):
        assert {run.result for run in read_runs(recipe.home)} == {'interrupted'}


@pytest.mark.parametrize(
    ('hours', 'seen', 'result'),
    [(99, None, 'interrupted'), (99, 23, 'running'), (99, 25, 'interrupted'), (1, None, 'running')],
)
def test_kubeflow_run_that_was_not_seen_for_a_day_is_interrupted(
    recipe, recording, hours, seen, result
):
    last_seen = None if seen is None else utc_now() - seen * HOUR
    recording(hours=hours, engine='kubeflow', seen=last_seen).add()
    assert read_runs(recipe.home)[0].result == result


def test_runs_are_in_the_order_of_their_starts_whatever_the_files(recipe):
    for hour, name in enumerate('cab'):
        run = record(id=name, started=STARTED + hour * HOUR, lists=('/q/\udce9',))
        write_run(recipe.home, run)
        os.utime(recipe.home / RUNS / f'{name}.json', (0, 99 - hour))
    shutil.copytree(recipe.home / RUNS, recipe.home / RUNS / 'backup')
    assert [run.id for run in read_runs(recipe.home)] == ['c', 'a', 'b']
    assert read_runs(recipe.home)[-1] == run


@pytest.mark.parametrize('text', ['', '{', '7', '{"id": "a"}', '[' * 99_999, '\udcff'])
def test_damaged_record_is_left_out_with_a_warning(recipe, text, caplog):
    write_run(recipe.home, record())
    (recipe.home / RUNS / 'b.json').write_bytes(text.encode(errors='surrogateescape'))
    assert [run.id for run in read_runs(recipe.home)] == ['run-7']
    assert 'b.json is left out: it is damaged' in caplog.text


def test_last_tick_is_the_newest_whether_it_trained_or_not(recipe, recording):
    now = utc_now() + HOUR
    assert last_tick(recipe.home, [], now) is None
    trained = record(kind='tick', started=now)
    ahead = record(kind='tick', started=now + HOUR)  # as the clock was
    for name in ('t', 'u'):
        recording(name, kind='tick').end('nothing new')
    (recipe.home / f'.{LAST_TICK}.7.partial').write_text('{')  # of a killed tick
    assert last_tick(recipe.home, [record(), ahead], now).id == 'u'
    assert last_tick(recipe.home, [trained, ahead], now) == trained
    assert find_run(recipe.home, 'u').result == 'nothing new'
    assert find_run(recipe.home, 't') is None


def record_until(recipe, recording, last_write: int) -> None:
    """Records a run in this process, which ends at a write, before its file is replaced."""
    writes = iter(range(99))
    replacing = files.replacing

    @contextlib.contextmanager
    def replace_or_end(path, **options):
        with replacing(path, **options) as partial:
            yield partial
            if next(writes) == last_write:
                os._exit(9)

    files.replacing = storage.replacing = replace_or_end
    with (
        locked(recipe.home / RECIPE_LOCK, AlreadyRunning()),
        recording(f'killed-{last_write}') as writing,
    ):
        complete(recipe, writing)
        writing.add(warnings=('MLflow does not answer',))
    os._exit(next(writes))


def complete(recipe, writing) -> None:
    """Records a whole run with the least report."""
    writing.start()
    store_report(recipe.home, writing.end(**PUSHED), '<html>', keep=5)


WRITES = 4  # start, end, page, warnings


@pytest.mark.parametrize('last_write', range(WRITES + 1))
def test_run_that_is_killed_at_a_write_is_shown_and_the_next_one_is_recorded(
    recipe, recording, last_write, invoke
):
    child = multiprocessing.get_context('fork').Process(
        target=record_until, args=(recipe, recording, last_write)
    )
    child.start()
    child.join()
    assert child.exitcode == (9 if last_write < WRITES else WRITES)

    killed = f'killed-{last_write}'
    results = {run.id: run.result for run in read_runs(recipe.home)}
    expected = 'interrupted' if last_write == 1 else 'blessed'
    assert results == ({killed: expected} if last_write else {})
    shown = invoke('runs')
    assert shown.exit_code == 0
    assert 'running' not in shown.stdout
    report = invoke('report', killed)
    assert report.exit_code == (0 if last_write > 2 else 2), report.output

    with recording('next') as writing:
        complete(recipe, writing)
    assert json.loads(invoke('runs', '--json').stdout)[0]['id'] == 'next'
    assert invoke('report').stdout.endswith('next.html\n')
