"""Exit codes and messages of the errors of commands."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import click
import click.testing
import pytest
from ml_metadata.errors import InternalError

from common.errors import ConfigError, PipelineError
from pipeline.commands.error_handling import CommandLine
from pipeline.local import run_recipe

RUNNER = Path(__file__).parents[3] / 'pipeline_runner.py'


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


def call_raising(error):
    """Calls a command that raises an error."""
    line = CommandLine(commands=[click.Command('work', callback=raising(error))])
    return click.testing.CliRunner().invoke(line, ['work'])


@pytest.mark.parametrize('family', PipelineError.__subclasses__())
def test_error_class_sets_the_exit_code(family):
    done = call_raising(family('no space'))
    assert (done.exit_code, done.stderr) == (family.exit_code, 'error: no space\n')


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
        (InternalError('readonly'), 2, 'error: the metadata cannot be used: readonly'),
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


@pytest.mark.parametrize('unbuffered', ['', '1'])
@pytest.mark.parametrize('words', [['--help'], ['config', '--config', 'demo']], ids=' '.join)
def test_output_to_a_full_disk_is_one_line(words, unbuffered):
    with open('/dev/full', 'w') as full:  # noqa: PTH123 - a device
        done = start(*words, stdout=full, env={**os.environ, 'PYTHONUNBUFFERED': unbuffered})
    assert done == (2, 'error: standard output cannot be written: No space left on device\n')


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


@pytest.mark.parametrize('module', ['click', 'common.console', 'pipeline.commands.runs'])
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
