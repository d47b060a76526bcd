"""The `serve` command."""

import functools
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import click.testing
import pytest
import requests

from pipeline_runner import main

RUNNER = Path(__file__).parents[3] / 'pipeline_runner.py'


@pytest.fixture(scope='module')
def serving(tmp_path_factory, make_saved_model):
    folder = tmp_path_factory.mktemp('serving')
    make_saved_model(folder / '7')
    return folder


@pytest.fixture
def refused(serving):
    """`refused(*options)`: the error of `serve`."""

    def call(*options, folder=serving):
        words = ['serve', '--config=demo', '--set', f'push_directory={folder}', *options]
        done = click.testing.CliRunner().invoke(main, words)
        assert done.exit_code == 2
        (line,) = done.stderr.splitlines()
        return line.removeprefix('error: ')

    return call


def test_needs_a_live_model(refused, tmp_path):
    problem = f'no model is live in {tmp_path}; run the recipe until one is pushed'
    assert refused('--port=0', folder=tmp_path) == problem


def test_port_in_use_is_one_error_line(refused):
    with socket.create_server(('127.0.0.1', 0)) as other:
        where = f'--host 127.0.0.1 --port {other.getsockname()[1]}'
        error = refused(*where.split())

    assert error.startswith(f'the server cannot listen on {where}: Address already in use')


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('--name=a/b', "--name: 'a/b' must consist of letters, digits"),
        ('--host=192.0.2.1', 'the server cannot listen on --host 192.0.2.1 --port 8501: '),
        (f'--host={"a" * 64}', 'the server cannot listen on --host aaaa'),
    ],
)
def test_wrong_options(refused, option, message):
    assert refused(option).startswith(message)


def test_damaged_model_is_one_error_line(refused, serving, tmp_path):
    shutil.copytree(serving / '7', tmp_path / '7')
    (tmp_path / '7' / 'saved_model.pb').write_bytes(b'damaged')

    error = refused('--port=0', folder=tmp_path)

    assert error.startswith(f'the model in {tmp_path}/7 cannot be loaded: ')


@pytest.mark.parametrize(
    ('sent', 'code', 'error'),
    [
        (signal.SIGTERM, 0, ''),
        pytest.param(signal.SIGINT, 130, 'error: interrupted\n', marks=pytest.mark.slow),
    ],
)
def test_serves_until_a_signal(serving, sent, code, error):
    options = ['--set', f'push_directory={serving}', '--port=0', '--name=pets']
    command = [sys.executable, RUNNER, 'serve', '--config=demo', *options]
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
    # Background jobs of a shell ignore SIGINT, and their children inherit this.
    default = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, **pipes, text=True, preexec_fn=default) as run:
        assert run.stdout
        assert run.stdout.readline().startswith('version 7 is live; loaded in ')
        address = re.match(r'(http://127\.0\.0\.1:\d+/) ', run.stdout.readline())
        assert address
        status = requests.get(f'{address[1]}v1/models/pets', timeout=60).json()
        run.send_signal(sent)
        _, errors = run.communicate(timeout=60)

    assert status['model_version_status'][0]['state'] == 'AVAILABLE'
    assert (run.returncode, errors) == (code, error)
