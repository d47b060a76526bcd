"""Output options of `run`; only the components are replaced."""

import logging
import os
import signal

import pytest
from example_record import PUSHED

from common import console
from pipeline.local import run_recipe
from pipeline.run.record import Run, read_runs

SEED_1 = '--set=trainer.seed=1'  # the replaced components bless a model with this seed
REJECTED = {**PUSHED, 'result': 'not blessed', 'exit_code': 3, 'reasons': ('too low',)}
both_ways = pytest.mark.parametrize('tick', [[], ['--if-new']], ids=['run', 'tick'])


@pytest.fixture(autouse=True)
def _components(monkeypatch):
    """Replaces the components of a run."""

    def run_components(recipe, record, *_):
        log = logging.getLogger('pipeline')
        record.start()
        os.write(1, b'from a library')
        os.write(2, b'from C')
        with console.phase('training', 'Trainer', brief=False), console.bar('images', 1):
            log.info('an epoch')
        console.show('a table')
        log.warning('drift')
        log.info('the decision', extra={'always': True})
        return record.end(**(PUSHED if recipe.trainer.seed == 1 else REJECTED))

    monkeypatch.setattr(run_recipe, '_run', run_components)


def test_run_prints_progress_and_decision(call):
    done = call('run', SEED_1)

    lines = done.out.splitlines()
    assert lines == [
        *('Trainer ...', 'an epoch', 'images 0/1 ', 'a table', 'warning: drift', 'the decision')
    ]
    assert (done.err, done.code) == ('', 0)


@pytest.mark.parametrize(
    ('words', 'output'),
    [
        ([SEED_1], 'warning: drift\nthe decision\n'),
        (['--if-new'], 'warning: drift\nthe decision\nnot blessed: too low\n'),
    ],
)
def test_quiet_run_prints_warnings_and_decisions_only(call, words, output):
    done = call('run', '--quiet', *words)

    assert (done.out, done.err, done.code) == (output, '', 0)


@both_ways
def test_json_run_prints_its_record_only_on_standard_output(call, tmp_path, tick):
    done = call('run', *tick, SEED_1, '--json')

    (record,) = read_runs(tmp_path / 'my runs' / 'demo')
    assert Run.model_validate_json(done.out) == record
    assert (record.kind, record.result) == ('tick' if tick else 'run', 'blessed')
    assert 'Trainer ...\nan epoch\n' in done.err
    assert 'from a library' not in done.err


@pytest.mark.parametrize('options', [['--json', '--verbose'], ['--if-new', '--no-cache']])
def test_rejects_options_that_exclude_each_other(call, options):
    done = call('run', *options)

    assert (done.out, done.code) == ('', 2)
    assert f'{options[0]} and {options[1]} exclude each other' in done.err


def test_failed_json_tick_prints_record_and_error_and_takes_sigterm_as_ctrl_c(
    call, monkeypatch, tmp_path
):
    handlers = {}
    monkeypatch.setattr(signal, 'signal', handlers.__setitem__)
    done = call('run', '--if-new', '--json', '--data', tmp_path / 'nowhere')

    tick = Run.model_validate_json(done.out)
    assert (tick.result, tick.exit_code) == ('failed', done.code)
    assert done.err.endswith(f'error: {tick.reasons[0]}\n')
    assert handlers[signal.SIGTERM] is signal.default_int_handler
