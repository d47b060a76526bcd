"""Exit codes and messages of the errors of commands."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import click
import click.testing
import pytest
from metadata_recorder import Recorder
from ml_metadata.errors import InternalError

from common.errors import (
    AlreadyRunning,
    ConfigError,
    DataError,
    KubeflowError,
    MetadataError,
    ModelError,
    PipelineError,
    RunError,
    VolumeNotMounted,
)
from common.files import locked
from pipeline.commands.error_handling import CommandLine
from pipeline.local import run_recipe

RUNNER = Path(__file__).parents[3] / 'pipeline_runner.py'
FAMILIES = {  # for each error class: a command that fails, and words of the message
    ConfigError: (['config', '--config', 'dmeo'], 'recipe dmeo does not exist'),
    DataError: (['run', '--data', 'nowhere'], 'nowhere does not exist'),
    MetadataError: (
        ['models', '--set', 'metadata.address=mysql://ada@host/runs'],
        'the environment variable CATDOG_METADATA_PASSWORD is not set',
    ),
    ModelError: (['predict', 'cat.jpg'], 'no model is live in '),
    AlreadyRunning: (['run', '--set', 'name=busy'], 'another run of busy is going on in '),
    RunError: (['run', '--set', 'name=broken'], 'Trainer failed: no space; the log is '),
    KubeflowError: (
        ['submit', '--set', 'kubeflow.connection.host=http://127.0.0.1:1'],
        'http://127.0.0.1:1',
    ),
    VolumeNotMounted: (
        ['models', '--set', 'name=elsewhere'],
        'which earlier runs have written, is not on this machine',
    ),
}


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


def call_raising(error):
    """Calls a command that raises an error."""
    line = CommandLine(commands=[click.Command('work', callback=raising(error))])
    return click.testing.CliRunner().invoke(line, ['work'])


def test_families_are_complete():
    assert set(FAMILIES) == set(PipelineError.__subclasses__())


@pytest.mark.parametrize('family', FAMILIES, ids=lambda family: family.__name__)
def test_error_class_sets_exit_code_and_message(call, tmp_path, monkeypatch, family):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('CATDOG_METADATA_PASSWORD', raising=False)
    (command, *options), words = FAMILIES[family]
    if family is RunError:
        monkeypatch.setattr(run_recipe, '_run', raising(RunError('Trainer failed: no space')))
    if family is VolumeNotMounted:
        recorder = Recorder('elsewhere')
        monkeypatch.setattr('pipeline.metadata_store.existing_store', lambda *_: recorder.store)
    home = tmp_path / 'my runs' / 'busy'
    home.mkdir(parents=True)
    with locked(home / '.lock', AlreadyRunning()):
        done = call(command, *options)

    (line,) = done.err.splitlines()[-1:]
    assert done.code == family.exit_code
    assert line.startswith('error: ')
    assert words in line


@pytest.mark.parametrize(
    ('error', 'code', 'message'),
    [
        (ZeroDivisionError('by zero'), 1, 'error: ZeroDivisionError: by zero; the log is '),
        (KeyboardInterrupt(), 130, 'error: interrupted; run the same command again to continue\n'),
    ],
)
def test_ended_run_prints_what_to_do(call, monkeypatch, error, code, message):
    monkeypatch.setattr(run_recipe, '_run', raising(error))
    done = call('run')
    assert done.code == code
    assert done.err.startswith(message)


@pytest.mark.parametrize(
    ('error', 'code', 'message'),
    [
        (ConfigError('one\ntwo'), 2, 'one\ntwo'),
        (FileNotFoundError(errno.ENOENT, 'No such file', 'a.json'), 2, 'a.json cannot be used: No'),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2, 'No space left on device'),
        (OSError('no number'), 2, 'no number'),
        (ModuleNotFoundError('No module', name='kfp.dsl'), 2, 'kfp is not installed; `make'),
        (ModuleNotFoundError('No module', name='uvicorn'), 2, 'uvicorn is not installed; `'),
        (InternalError('readonly database'), 1, 'the metadata cannot be used: readonly database'),
        (KeyboardInterrupt(), 130, 'interrupted\n'),
    ],
    ids=repr,
)
def test_expected_errors_have_one_message_and_no_traceback(error, code, message):
    done = call_raising(error)
    assert done.exit_code == code
    assert done.stderr.startswith(f'error: {message}')


@pytest.mark.parametrize('error', [ZeroDivisionError(), ModuleNotFoundError('x', name='numpy')])
def test_unexpected_errors_keep_their_traceback(error):
    assert call_raising(error).exception is error


def start(*words, **options):
    """Starts the command line; gives exit code and standard error."""
    process = subprocess.run(
        [sys.executable, RUNNER, *words], stderr=subprocess.PIPE, text=True, check=False, **options
    )
    return process.returncode, process.stderr


@pytest.mark.parametrize('words', [['--help'], ['config', '--config', 'demo']], ids=' '.join)
def test_output_to_a_full_disk_is_one_line(words):
    with open('/dev/full', 'w') as full:  # noqa: PTH123 - a device
        code, error = start(*words, stdout=full)
    assert (code, error.count('\n')) == (2, 1)
    assert error.endswith(': No space left on device\n')


@pytest.mark.parametrize('prepare', ['start_process()', 'pass'])
def test_destructors_print_no_traceback_after_the_error_of_a_full_disk(prepare):
    program = (
        'from pipeline.commands.error_handling import start_process\n'
        f'{prepare}\n'
        'import zipfile\n'
        "archive = zipfile.ZipFile('/dev/full', 'w')\n"
        "archive.writestr('name', 'text')\n"
    )
    command = [sys.executable, '-c', program]
    done = subprocess.run(command, cwd=RUNNER.parent, capture_output=True, text=True, check=False)
    assert ('Exception ignored' in done.stderr) == (prepare == 'pass')


def test_unknown_home_folder_is_one_line(tmp_path):
    # No HOME, and a user that the system does not know.
    (tmp_path / 'sitecustomize.py').write_text('import pwd\npwd.getpwuid = {}.__getitem__\n')
    variables = {key: value for key, value in os.environ.items() if key != 'HOME'}
    code, error = start('--help', env={**variables, 'PYTHONPATH': str(tmp_path)})
    assert code == 2
    assert error == 'error: the home folder is unknown; set the environment variable HOME\n'


@pytest.mark.parametrize('module', ['click', 'common.console', 'pipeline.commands.runs'])
def test_interrupted_import_has_no_traceback(tmp_path, module):
    """Ctrl-C while a module is imported."""
    (tmp_path / 'sitecustomize.py').write_text(
        'import sys\n'
        'class Interrupt:\n'
        '    def find_spec(name, path, target=None):\n'
        f'        if name == {module!r}: raise KeyboardInterrupt\n'
        'sys.meta_path.insert(0, Interrupt)\n'
    )
    code, error = start('config', env={**os.environ, 'PYTHONPATH': str(tmp_path)})
    assert (code, error) in [(130, ''), (130, 'error: interrupted\n')]


def test_closed_pipe_prints_no_message():
    done = call_raising(BrokenPipeError(errno.EPIPE, 'Broken pipe'))
    assert (done.exit_code, done.stderr) == (1, '')
