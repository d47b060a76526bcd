"""The list of runs across recipes, and the present state above it."""

import json

import pytest
from example_record import STARTED, record

from components.pusher.serving_folder import About
from pipeline.run.record import LAST_TICK, record_override, write_run

CONFIG = {'name': 'pets', 'push_directory': None, 'trainer': {'seed': 1, 'batch_size': 32}}
ABOUT = About(recipe='pets', person='ann', reason='version 7 is too slow')


@pytest.fixture
def home(tmp_path):
    """The home of `pets`, whose version 7 is live."""
    (tmp_path / 'pets' / 'serving' / '7').mkdir(parents=True)
    return tmp_path / 'pets'


@pytest.fixture
def add(home):
    """`add('b', 2, result='failed')`: a run of 2026-11-02."""

    def write(run, day=1, folder=home, **values):
        values = {'config': CONFIG, 'recipe': folder.name, **values}
        write_run(folder, record(id=run, started=STARTED.replace(day=day), **values))

    return write


def rows(done):
    """The rows of the table, without the lines above it."""
    assert done.exit_code == 0, done.output
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    return lines[next(i for i, line in enumerate(lines) if line.startswith('started')) + 1 :]


def test_table_has_a_line_per_run_newest_first(add, invoke, home):
    reason = 'accuracy on dark images 0.883, floor 0.90 (n=212)'
    add('a', 1, seconds=61.2)
    add('c', 3, home.with_name('flowers'), result='failed', reasons=('no space ' * 99,))
    rejected = {'result': 'not blessed', 'version': None, 'left_out': {'unknown class': 90}}
    add('b', 2, reasons=(reason,), images=179, **rejected)

    lines = rows(invoke('runs'))

    assert [line.split()[2] for line in lines] == ['flowers', 'pets', 'pets']
    assert 'failed: no space no space' in lines[0]
    assert f'not blessed: {reason}; 90 of 269 images are' in lines[1]
    assert ' live  blessed and pushed ' in lines[2]
    assert lines[2].split()[-3:] == ['0.9500', '61', 'a']
    assert max(map(len, lines)) < 220


def test_first_lines_are_the_live_version_and_the_last_tick(add, invoke, home):
    add('a', 1)
    tick = {'kind': 'tick', 'result': 'nothing new', 'decision': 'nothing new: span 1 was used'}
    past = STARTED.replace(year=2025)  # whatever the clock of this machine
    (home / LAST_TICK).write_text(record(id='t', started=past, **tick).as_json())
    live, last, *_ = invoke('runs').stdout.splitlines()
    assert live == f'pets: version 7 is live in {home}/serving'
    assert last.startswith('pets: last tick 2025-11-21 ')
    assert last.endswith(': nothing new: span 1 was used')


def test_option_config_narrows_to_one_recipe_and_last_to_the_newest(add, invoke, home, tmp_path):
    for day in (1, 2, 3):
        add(f'run-{day}', day, lists=('/q/\udce9',))
    add('other', 9, home.with_name('flowers'))
    (tmp_path / 'pets.yaml').write_text('description: cats and dogs')
    (home / 'runs' / 'damaged.json').write_text('{')

    done = invoke('runs', '--config', tmp_path / 'pets.yaml', '--last', 2, '--json')

    runs = json.loads(done.stdout)
    assert [(each['id'], each['lists']) for each in runs] == [
        (name, ['/q/\udce9']) for name in ('run-3', 'run-2')
    ]
    assert done.stderr.count('\n') == 1
    assert done.stderr.startswith(f'warning: {home}/runs/damaged.json')


def test_changed_keys_are_those_of_the_run_before_of_the_same_recipe(add, invoke, home):
    keys = {f'key{number}': 'x' * 999 for number in range(9)}
    add('a', 1)
    add('b', 2, config={**CONFIG, 'trainer': {'seed': 2, 'batch_size': 32}}, result='failed')
    record_override(home, 'bless', ABOUT, '7')
    add('c', 3, config={**CONFIG, 'trainer': {'seed': 2}})
    add('d', 4, config={**CONFIG, 'trainer': {'seed': 2}, **keys})

    lines = {line.split()[-1]: line for line in rows(invoke('runs'))}

    assert lines['a'].split()[-2:] == ['60', 'a']
    assert lines['b'].split()[-2:] == ['trainer.seed=2', 'b']
    assert lines['c'].split()[-2:] == ['trainer.batch_size=None', 'c']
    assert "key2='xxxxxxxxx...xxxxxxxxxx', 6 more" in lines['d']


def test_rollback_is_a_row_and_the_live_one(add, invoke, home):
    add('a', 1)
    (home / 'serving' / '8').mkdir()
    record_override(home, 'rollback', ABOUT, '8')
    record_override(home, 'unbless', ABOUT, '8')
    unblessed, rolled_back, run = rows(invoke('runs'))
    assert ' live  rollback as version 8 by ann: version 7 is too slow' in rolled_back
    assert ' live ' not in run + unblessed


def test_folder_without_runs(invoke, tmp_path):
    assert invoke('runs').stdout == f'no runs in {tmp_path}\n'
