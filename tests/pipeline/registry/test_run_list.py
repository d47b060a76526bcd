"""The log of runs, and their list across recipes."""

import ast
import json
import subprocess
import sys
import time

import click.testing
import pytest
from pipeline.registry.run_list import homes_in, list_runs
from pipeline.registry.run_log import LOG_FILE, RECIPE_LOCK, log_run, logged, read_runs

from common.blessing import OVERRIDE_FILE, ManualOverride, write_override
from common.errors import AlreadyRunning
from common.files import locked
from components.pusher.serving_folder import NOTE_FILE, About, Note
from pipeline.config.recipe import recipe_of
from pipeline_runner import main

CONFIG = {'name': 'pets', 'push_directory': None, 'trainer': {'seed': 1, 'batch_size': 32}}


@pytest.fixture
def home(tmp_path):
    (tmp_path / 'runs' / 'pets').mkdir(parents=True)
    return tmp_path / 'runs' / 'pets'


@pytest.fixture
def add(home):
    """`add('b', 2, result='failed')`: a run of 2026-11-02."""

    def log(run, day=1, folder=home, **values):
        folder.mkdir(exist_ok=True)
        started = f'2026-11-{day:02}T09:00:00Z'
        values = {'config': CONFIG, 'result': 'blessed', **values}
        log_run(folder, run, started=started, **values)

    return log


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: click.testing.CliRunner().invoke(main, ['runs', *map(str, words)])


def push(home, version, model):
    folder = home / 'serving' / version
    (folder / NOTE_FILE).parent.mkdir(parents=True)
    note = Note(version=int(version), pushed='2026-11-22T09:00Z', about=About(model=model))
    (folder / NOTE_FILE).write_text(note.model_dump_json())


def runs_in(home):
    found, warnings = list_runs([home])
    assert warnings == []
    return {each.run: each for each in found}


def test_table_has_a_line_per_run_newest_first(add, call, home):
    reason = 'accuracy on dark images 0.883, floor 0.90 (n=212)'
    add('a', 1, accuracy=0.97, model='/models/1', version='7', seconds=61.2)
    add('c', 3, home.parent / 'flowers', result='failed', reason='Trainer failed: no space')
    add('b', 2, result='not blessed', reason=reason, accuracy=0.958)
    push(home, '7', '/models/1')

    done = call()

    assert done.exit_code == 0, done.output
    heading, *lines = (line.rstrip() for line in done.stdout.splitlines())
    assert heading.split() == ['started', 'recipe', 'decision', 'accuracy', 's', 'changed', 'run']
    assert [line.split()[2:3] for line in lines] == [['flowers'], ['pets'], ['pets']]
    assert 'failed: Trainer failed: no space' in lines[0]
    assert f'not blessed: {reason}' in lines[1]
    assert '0.9580' in lines[1]
    assert ' live  blessed and pushed ' in lines[2]
    assert ' 61  first run  a' in lines[2]


def test_option_config_narrows_to_one_recipe_and_last_to_the_newest(add, call, home, tmp_path):
    for day in (1, 2, 3):
        add(f'run-{day}', day)
    add('other', 9, home.parent / 'flowers')
    (tmp_path / 'pets.yaml').write_text('description: cats and dogs')

    listed = json.loads(call('--config', 'pets.yaml', '--last', 2, '--json').stdout)

    assert [each['run'] for each in listed] == ['run-3', 'run-2']
    assert listed[0]['started'] == '2026-11-03T09:00:00+00:00'


def test_changed_keys_are_those_of_the_run_before_of_the_same_recipe(add, home):
    add('a', 1)
    add('b', 2, config={**CONFIG, 'trainer': {'seed': 2, 'batch_size': 32}}, result='failed')
    add('c', 3, config={**CONFIG, 'trainer': {'seed': 2}, 'lite': None})
    add('d', 4, config={**CONFIG, 'trainer': {'seed': 2}, 'lite': None})

    changed = {name: run.changed for name, run in runs_in(home).items()}

    expected = {'trainer.batch_size': None, 'lite': None}
    assert changed == {'a': None, 'b': {'trainer.seed': 2}, 'c': expected, 'd': {}}


def test_long_reason_is_short_in_the_table(add, call):
    add('a', result='failed', reason='no space ' * 99)

    line = call().stdout.splitlines()[1]

    assert 'failed: no space no space' in line
    assert len(line) < 220


def test_many_and_long_changes_are_short_in_the_table(add, call):
    add('a', 1)
    keys = {f'key{number}': 'x' * 999 for number in range(9)}
    add('b', 2, config={**CONFIG, **keys})

    line = call().stdout.splitlines()[1]

    assert line.rstrip().endswith("key2='xxxxxxxxx...xxxxxxxxxx', 6 more  b")


def test_only_the_last_run_of_the_live_model_is_live_after_a_rollback(add, home):
    add('first', 1, model='/models/1', version='1')
    add('second', 2, model='/models/2', version='2')
    add('again', 3, model='/models/1', version='1', unchanged=True)
    push(home, '2', '/models/2')
    push(home, '3', '/models/1')  # as rollback does

    assert [run for run, each in runs_in(home).items() if each.live] == ['again']


def test_manual_override_replaces_the_decision(add, call, tmp_path):
    (tmp_path / 'model').mkdir()
    values = {'person': 'eve', 'reason': 'wrong labels', 'moment': '2026-11-22T09:00Z'}
    write_override(tmp_path / 'model', ManualOverride(blessed=False, **values))
    add('a', model=str(tmp_path / 'model'))

    assert 'its blessing was manually withdrawn by eve: wrong labels' in call().stdout


def test_damaged_files_are_a_warning_each(add, call, home, tmp_path):
    (tmp_path / 'model').mkdir()
    (tmp_path / 'model' / OVERRIDE_FILE).write_text('{')
    add('a', model=str(tmp_path / 'model'))
    with (home / LOG_FILE).open('ab') as file:
        file.write(b'\xff\n7\n["run"]\n{"run": "no start"}\n{"run": [1]}\n' + b'[' * 99_999)
        file.write(b'\n{"run": "no zone", "started": "2026-11-01T09:00:00", "config": {}}\n')
    add('b', 2)
    push(home, '7', '/models/1')
    (home / 'serving' / '7' / NOTE_FILE).write_text('{')
    (home.parent / 'odd' / LOG_FILE).mkdir(parents=True)

    done = call()

    assert done.exit_code == 0
    assert [line.split()[-1] for line in done.stdout.splitlines()[1:]] == ['b', 'a']
    override, unreadable, damaged, note = sorted(done.stderr.splitlines())
    assert unreadable.startswith(f'warning: {home.parent}/odd/{LOG_FILE} cannot be read')
    assert damaged.startswith(f'warning: {home}/{LOG_FILE}: 7 lines damaged')
    assert f'{NOTE_FILE} is damaged' in note
    assert 'override.json is damaged' in override


def test_folder_without_runs(call, tmp_path):
    assert call().stdout == f'no runs in {tmp_path}/runs\n'


@pytest.fixture
def recipe(tmp_path):
    recipe = recipe_of({'name': 'pets', 'workdir': str(tmp_path)})
    recipe.home.mkdir()
    return recipe


def test_run_is_logged_from_start_to_end(recipe):
    with logged(recipe, time.perf_counter() - 60) as run:
        run.start('a')
        ((before,), _) = read_runs(recipe.home)
        run.end('blessed', accuracy=0.9)
    ((after,), _) = read_runs(recipe.home)

    assert (before.result, after.result, after.accuracy) == ('interrupted', 'blessed', 0.9)
    assert after.seconds >= 60
    assert after.config == recipe.model_dump(mode='json')


@pytest.mark.parametrize(
    ('error', 'result', 'reason'),
    [(KeyboardInterrupt(), 'interrupted', ''), (OSError('no space'), 'failed', 'no space')],
)
def test_exception_is_logged_as_the_end_of_a_started_run(recipe, error, result, reason):
    def fail(*, started):
        with logged(recipe, 0) as run:
            if started:
                run.start('a')
            raise error

    with pytest.raises(type(error)):
        fail(started=False)
    assert read_runs(recipe.home).runs == []
    with pytest.raises(type(error)):
        fail(started=True)
    ((run,), _) = read_runs(recipe.home)
    assert (run.result, run.reason) == (result, reason)


def test_error_after_the_end_does_not_replace_the_decision(recipe):
    def fail():
        with logged(recipe, 0) as run:
            run.start('a')
            run.end('blessed')
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        fail()
    assert read_runs(recipe.home).runs[0].result == 'blessed'


@pytest.mark.parametrize('engine', ['local', 'kubeflow'])
def test_only_the_newest_run_without_a_result_is_running(add, home, engine):
    for day in (1, 2):
        add(f'run-{day}', day, result=None, engine=engine)

    with locked(home / RECIPE_LOCK, AlreadyRunning()):
        results = [each.result for each in read_runs(home).runs]

    assert results == ['interrupted', 'running']


def test_killed_run_is_interrupted(add, home):
    add('a', result=None)

    assert read_runs(home).runs[0].result == 'interrupted'


def test_log_that_cannot_be_written_is_a_warning(home, caplog):
    (home / LOG_FILE).mkdir()

    log_run(home, 'a')

    assert 'runs.jsonl cannot be written: Is a directory' in caplog.text


def test_homes_are_the_folders_with_a_log(add, home):
    (home.parent / 'empty').mkdir()
    add('a')

    assert homes_in(home.parent) == [home]


def test_five_hundred_runs_take_no_tensorflow(add, home):
    config = recipe_of({'name': 'pets'}).model_dump(mode='json')
    for number in range(500):
        add(f'run-{number}', 1 + number % 28, config=config, model=f'/models/{number}')
    program = (
        'import sys, pipeline_runner\n'
        'try: pipeline_runner.main(sys.argv[1:])\n'
        'finally: print({name.partition(".")[0] for name in sys.modules}, file=sys.stderr)'
    )
    words = [sys.executable, '-c', program, 'runs', '--workdir', home.parent, '--last', '500']

    done = subprocess.run(words, capture_output=True, text=True, timeout=60)

    assert len(done.stdout.splitlines()) == 501
    assert not {'tensorflow', 'tfx', 'keras'} & set(ast.literal_eval(done.stderr))


def test_recipe_in_the_current_folder_gives_the_folder_of_the_runs(add, call, tmp_path, home):
    (tmp_path / 'recipe.yaml').write_text('workdir: elsewhere')
    (tmp_path / 'elsewhere').mkdir()
    add('a', folder=tmp_path / 'elsewhere' / 'pets')

    assert [line.split()[-1] for line in call().stdout.splitlines()[1:]] == ['a']
