"""Output options of `run` and `retrain`, through pipes; only the components are replaced."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import click.testing
import pytest

from pipeline.local import run_recipe
from pipeline.retraining.journal import Tick
from pipeline_runner import main

REPOSITORY = Path(__file__).parents[3]
PROGRAM = """
import logging, os, sys
from types import SimpleNamespace
from common import console
from pipeline.local import run_recipe
from pipeline_runner import main

def run_components(recipe, start):
    log = logging.getLogger('pipeline')
    print('from a library')
    os.write(2, b'from C')
    with console.titled('Trainer'), console.indented(), console.bar('images', 1):
        log.info('an epoch')
    console.show('a table')
    log.warning('drift')
    log.info('the decision', extra=console.styled('decision', 'bold', always=True))
    blessed = recipe.trainer.seed == 1
    (recipe.home / 'last_run.json').write_text('{"blessed": %s}' % str(blessed).lower())
    return SimpleNamespace(
        blessed=blessed, unchanged=False, pushed_to='here', reasons=('too low',), run_id='1',
        accuracy=0.5, previous_accuracy=None,
    )

run_recipe._run = run_components
main(prog_name='pipeline_runner.py')
"""


@pytest.fixture
def call(tmp_path):
    """`call('run', *options)`: calls a command whose components are replaced."""

    def call_command(command, *options):
        files = ['--workdir', str(tmp_path / 'my runs')]
        return subprocess.run(
            [sys.executable, '-c', PROGRAM, command, *files, *options],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
        )

    return call_command


SEED_1 = '--set=trainer.seed=1'


def test_run_prints_progress_decision_and_next_command(call, tmp_path):
    done = call('run', SEED_1, '--set=name=mine')

    title, epoch, bar, table, warning, decision, hint = done.stdout.splitlines()
    assert (title, epoch) == ('Trainer ...', '  an epoch')
    assert '0/1' in bar
    assert (table, warning, decision) == ('a table', 'warning: drift', 'the decision')
    options = f"--workdir '{tmp_path}/my runs' --set name=mine"
    assert hint.startswith('next: ')
    assert hint.endswith(f' report {options} (or predict IMAGE)')
    assert (done.stderr, done.returncode) == ('', 0)


def test_next_command_after_rejected_model_is_why(call, tmp_path):
    done = call('run')

    assert done.returncode == 3
    assert done.stdout.splitlines()[-1].endswith(f" why --workdir '{tmp_path}/my runs'")


@pytest.mark.parametrize(
    ('program', 'words'),
    [
        ('pipeline_runner.py', '.venv/bin/python pipeline_runner.py'),
        ('/opt/bin/catdog-pipeline', 'catdog-pipeline'),
    ],
)
def test_next_command_names_program_and_recipe(monkeypatch, program, words):
    monkeypatch.setattr(sys, 'argv', [program])
    monkeypatch.setattr(sys, 'orig_argv', ['.venv/bin/python', program])
    monkeypatch.setattr(run_recipe, 'run', lambda *_, **__: SimpleNamespace(blessed=False))
    options = ['--config', 'cats_vs_dogs', '--set', 'push_directory=models', '--set', 'data.seed=1']
    done = click.testing.CliRunner().invoke(main, ['run', *options])

    expected = f'next: {words} why --config cats_vs_dogs --set push_directory=models\n'
    assert done.stdout == expected


def test_quiet_run_prints_warnings_and_decision_only(call):
    done = call('run', SEED_1, '--quiet')

    assert done.stdout == 'warning: drift\nthe decision\n'
    assert (done.stderr, done.returncode) == ('', 0)


def test_json_run_prints_summary_only_on_standard_output(call):
    done = call('run', SEED_1, '--json')

    assert json.loads(done.stdout) == {'blessed': True}
    assert 'Trainer ...\n  an epoch\n' in done.stderr
    assert 'from a library' not in done.stderr
    assert done.stderr.splitlines()[-2] == 'the decision'


def test_quiet_json_run_prints_only_warnings_and_decision_on_standard_error(call):
    done = call('run', '--json', '--quiet')

    assert json.loads(done.stdout) == {'blessed': False}
    assert done.stderr == 'warning: drift\nthe decision\n'
    assert done.returncode == 3


@pytest.mark.parametrize('command', ['run', 'retrain'])
def test_rejects_json_with_verbose(call, command):
    done = call(command, '--json', '--verbose')

    assert (done.stdout, done.returncode) == ('', 2)
    assert '--json and --verbose exclude each other' in done.stderr


def test_failed_json_run_prints_nothing_on_standard_output(call, tmp_path):
    done = call('run', '--json', '--data', str(tmp_path / 'nowhere'), '--set=name=a b')

    assert (done.stdout, done.returncode) == ('', 2)
    assert done.stderr.startswith('error: ')


def test_json_retrain_prints_tick_only_on_standard_output(call):
    done = call('retrain', SEED_1, '--json')

    tick = Tick.model_validate_json(done.stdout)
    assert (tick.verdict, tick.exit_code, tick.accuracy) == ('blessed', 0, 0.5)
    assert 'Trainer ...' in done.stderr


def test_quiet_retrain_prints_warnings_and_decisions_only(call):
    done = call('retrain', '--quiet')

    assert done.stdout == (
        'warning: drift\nthe decision\nnot blessed: the live model stays: too low\n'
    )
    assert (done.stderr, done.returncode) == ('', 0)


def test_failed_json_retrain_prints_tick_and_error(call, tmp_path):
    done = call('retrain', '--json', '--data', str(tmp_path / 'nowhere'))

    tick = Tick.model_validate_json(done.stdout)
    assert (tick.verdict, tick.exit_code) == ('failed', done.returncode)
    assert done.stderr.endswith(f'error: {tick.reason}\n')
