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
    ConfigError: ('config --config dmeo', 'recipe dmeo does not exist'),
    DataError: ('run --data nowhere', 'nowhere does not exist'),
    MetadataError: (
        'models --set metadata.address=mysql://ada@host/runs',
        'the environment variable CATDOG_METADATA_PASSWORD is not set',
    ),
    ModelError: ('predict cat.jpg', 'no model is live in '),
    AlreadyRunning: ('run --set name=busy', 'another run of busy is going on in '),
    RunError: ('run --set name=broken', 'Trainer failed: no space; the log is '),
    KubeflowError: ('submit --set kubeflow.connection.host=http://127.0.0.1:1', '127.0.0.1:1'),
    VolumeNotMounted: ('models --set name=elsewhere', 'is not on this machine'),
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
    command, words = FAMILIES[family]
    if family is RunError:
        monkeypatch.setattr(run_recipe, '_run', raising(RunError('Trainer failed: no space')))
    if family is VolumeNotMounted:
        recorder = Recorder('elsewhere')
        monkeypatch.setattr('pipeline.metadata_store.existing_store', lambda *_: recorder.store)
    home = tmp_path / 'my runs' / 'busy'
    home.mkdir(parents=True)
    with locked(home / '.lock', AlreadyRunning()):
        done = call(*command.split())

    (line,) = done.err.splitlines()[-1:]
    assert (done.code, line.startswith('error: ')) == (family.exit_code, True)
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
    assert (done.code, done.err[: len(message)]) == (code, message)


@pytest.mark.parametrize(
    ('error', 'code', 'message'),
    [
        (ConfigError('one\ntwo'), 2, 'error: one\ntwo'),
        (FileNotFoundError(errno.ENOENT, 'No file', 'a.json'), 2, 'error: a.json cannot be used:'),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2, 'error: No space left on device'),
        (ModuleNotFoundError('No module', name='kfp.dsl'), 2, 'error: kfp is not installed; `make'),
        (InternalError('readonly'), 1, 'error: the metadata cannot be used: readonly'),
        (KeyboardInterrupt(), 130, 'error: interrupted\n'),
        (BrokenPipeError(errno.EPIPE, 'Broken pipe'), 1, ''),
    ],
    ids=repr,
)
def test_expected_errors_have_one_message_and_no_traceback(error, code, message):
    done = call_raising(error)
    assert done.exit_code == code
    assert done.stderr.startswith(message)
    assert bool(done.stderr) == bool(message)


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


def with_start(folder, program):
    """The environment of a process that runs a program before its main one."""
    (folder / 'sitecustomize.py').write_text(program)
    variables = {key: value for key, value in os.environ.items() if key != 'HOME'}
    return {**variables, 'PYTHONPATH': str(folder)}


def test_unknown_home_folder_is_one_line(tmp_path):
    # No HOME, and a user that the system does not know.
    variables = with_start(tmp_path, 'import pwd\npwd.getpwuid = {}.__getitem__\n')
    message = 'error: the home folder is unknown; set the environment variable HOME\n'
    assert start('--help', env=variables) == (2, message)


@pytest.mark.parametrize('module', ['click', 'common.console', 'pipeline.commands.config'])
def test_interrupted_import_has_no_traceback(tmp_path, module):
    """Ctrl-C while a module is imported."""
    program = (
        'import sys\n'
        'class Interrupt:\n'
        '    def find_spec(name, path, target=None):\n'
        f'        if name == {module!r}: raise KeyboardInterrupt\n'
        'sys.meta_path.insert(0, Interrupt)\n'
    )
    ended = start('config', env={**with_start(tmp_path, program), 'HOME': str(tmp_path)})
    assert ended in [(130, ''), (130, 'error: interrupted\n')]
