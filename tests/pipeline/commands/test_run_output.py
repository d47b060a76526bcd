"""Output options of `run` and `retrain`; only the components are replaced."""

import json
import logging
import os
import signal
import sys
from types import SimpleNamespace

import pytest

from common import console
from pipeline.local import run_recipe
from pipeline.retraining.decision import Decision
from pipeline.retraining.journal import Tick

SETTINGS = {'evaluation.max_drop': 0.05, 'evaluation.floors': {'class': 0.8}}
SEED_1 = '--set=trainer.seed=1'  # the replaced components bless a model with this seed


@pytest.fixture(autouse=True)
def given(monkeypatch):
    """Replaces the components of a run; the commands that each run got for its report."""
    given = []

    def run_components(recipe, start, commands, **_):
        given.append(commands)
        log = logging.getLogger('pipeline')
        os.write(1, b'from a library')
        os.write(2, b'from C')
        with console.titled('Trainer'), console.indented(), console.bar('images', 1):
            log.info('an epoch')
        console.show('a table')
        log.warning('drift')
        log.info('the decision', extra=console.styled('decision', 'bold', always=True))
        blessed = recipe.trainer.seed == 1
        (recipe.home / 'last_run.json').write_text(json.dumps({'blessed': blessed}))
        return SimpleNamespace(
            blessed=blessed,
            unchanged=False,
            pushed_to='here',
            reasons=('too low',),
            run_id='1',
            model='/models/7',
            accuracy=0.5,
            previous_accuracy=None,
            manual_override='its blessing was withdrawn' if recipe.trainer.seed == 2 else None,
            settings={} if recipe.trainer.seed == 2 else SETTINGS,
        )

    monkeypatch.setattr(run_recipe, '_run', run_components)
    return given


def test_run_prints_progress_decision_and_next_command(call, tmp_path):
    done = call('run', SEED_1, '--set=name=mine')

    title, epoch, bar, table, warning, decision, hint = done.out.splitlines()
    assert (title, epoch) == ('Trainer ...', '  an epoch')
    assert '0/1' in bar
    assert (table, warning, decision) == ('a table', 'warning: drift', 'the decision')
    assert hint.startswith('next: ')
    options = f"'--workdir={tmp_path}/my runs' {SEED_1} --set=name=mine"
    assert hint.endswith(f' report {options} (or predict IMAGE)')
    assert (done.err, done.code) == ('', 0)


@pytest.mark.parametrize(
    ('program', 'words'),
    [
        ('pipeline_runner.py', '.venv/bin/python pipeline_runner.py'),
        ('/opt/bin/catdog-pipeline', 'catdog-pipeline'),
    ],
)
def test_next_command_after_rejected_model_is_why(call, monkeypatch, program, words):
    monkeypatch.setattr(sys, 'argv', [program])
    monkeypatch.setattr(sys, 'orig_argv', ['.venv/bin/python', program])
    done = call('run', '--config', 'cats_vs_dogs')

    assert done.code == 3
    assert done.out.splitlines()[-1].startswith(f'next: {words} why --config=cats_vs_dogs ')


def test_next_command_names_a_recipe_of_the_environment(call, monkeypatch):
    monkeypatch.setenv('CATDOG_RECIPE', 'cats_vs_dogs')
    done = call('run')

    assert ' why --config=cats_vs_dogs ' in done.out.splitlines()[-1]


def test_run_prints_the_command_that_accepts_a_rejected_model(call):
    rejected, withdrawn = (
        call('run', f'--set=trainer.seed={seed}').out.splitlines()[-1] for seed in (0, 2)
    )
    assert rejected.endswith(
        "--set=trainer.seed=0 --set=evaluation.max_drop=0.05 '--set=evaluation.floors="
        '{"class": 0.8}\')'
    )
    assert ' (or accept this model: ' in rejected
    assert withdrawn.endswith('--set=trainer.seed=2 /models/7 --force --reason TEXT)')


@pytest.mark.parametrize('command', ['run', 'retrain'])
def test_report_gets_the_options_of_the_command_without_kubeflow(call, given, tmp_path, command):
    call(command, SEED_1, '--set=kubeflow.connection.experiment=private')

    (commands,) = given
    assert commands.options == (f'--workdir={tmp_path}/my runs', SEED_1)


def test_quiet_run_prints_warnings_and_decision_only(call):
    done = call('run', SEED_1, '--quiet')

    assert (done.out, done.err, done.code) == ('warning: drift\nthe decision\n', '', 0)


def test_json_run_prints_summary_only_on_standard_output(call):
    done = call('run', SEED_1, '--json')

    assert json.loads(done.out) == {'blessed': True}
    assert 'Trainer ...\n  an epoch\n' in done.err
    assert 'from a library' not in done.err
    assert done.err.splitlines()[-2] == 'the decision'


@pytest.mark.parametrize('command', ['run', 'retrain'])
def test_rejects_json_with_verbose(call, command):
    done = call(command, '--json', '--verbose')

    assert (done.out, done.code) == ('', 2)
    assert '--json and --verbose exclude each other' in done.err


def test_json_retrain_prints_tick_only_on_standard_output(call):
    done = call('retrain', SEED_1, '--json')

    tick = Tick.model_validate_json(done.out)
    assert (tick.verdict, tick.exit_code, tick.accuracy) == ('blessed', 0, 0.5)
    assert 'Trainer ...' in done.err


def test_retrain_handles_sigterm_as_interrupt(call, monkeypatch):
    handlers = {}
    monkeypatch.setattr(signal, 'signal', handlers.__setitem__)
    call('retrain', SEED_1)

    assert handlers[signal.SIGTERM] is signal.default_int_handler


@pytest.mark.parametrize('cold', [[], ['--set=trainer.warm_start=null']])
def test_retrain_offers_a_rebuild_without_removed_spans(call, monkeypatch, cold):
    decision = Decision(False, 'nothing new', removed=(2, 5))
    monkeypatch.setattr('pipeline.retraining.tick.decide', lambda *_: decision)
    recipe = ['--set=trainer.warm_start=latest_blessed'] if cold else []

    lines = call('retrain', *recipe).out.splitlines()

    rebuild = next(line for line in lines if line.startswith('warning: '))
    assert rebuild.startswith('warning: to train a model without spans 2 and 5: ')
    assert ' run ' in rebuild
    assert rebuild.endswith(''.join(cold))


def test_quiet_retrain_prints_warnings_and_decisions_only(call):
    done = call('retrain', '--quiet')

    assert done.out == 'warning: drift\nthe decision\nnot blessed: too low\n'
    assert (done.err, done.code) == ('', 0)


def test_failed_json_retrain_prints_tick_and_error(call, tmp_path):
    done = call('retrain', '--json', '--data', tmp_path / 'nowhere')

    tick = Tick.model_validate_json(done.out)
    assert (tick.verdict, tick.exit_code) == ('failed', done.code)
    assert done.err.endswith(f'error: {tick.reason}\n')
