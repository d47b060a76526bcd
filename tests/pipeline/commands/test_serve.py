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

import pipeline.serving
from pipeline_runner import main

RUNNER = Path(__file__).parents[3] / 'pipeline_runner.py'


@pytest.fixture(scope='module')
def serving(tmp_path_factory, make_saved_model):
    folder = tmp_path_factory.mktemp('serving')
    make_saved_model(folder / '7')
    return folder


def call(serving, *options):
    words = ['serve', '--config=demo', '--set', f'push_directory={serving}', *options]
    return click.testing.CliRunner().invoke(main, words)


def test_needs_a_live_model(tmp_path):
    done = call(tmp_path, '--port=0')

    assert done.exit_code == 2
    assert done.stderr == (
        f'error: no model is live in {tmp_path}; run the recipe until one is pushed\n'
    )


def test_port_in_use_is_one_error_line(serving):
    with socket.create_server(('127.0.0.1', 0)) as other:
        port = other.getsockname()[1]
        done = call(serving, f'--port={port}')

    assert done.exit_code == 2
    assert done.stderr.startswith(
        f'error: the server cannot listen on --host 127.0.0.1 --port {port}: Address already in use'
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--name=a/b',), "error: --name: 'a/b' must consist of letters, digits"),
        (
            ('--host=192.0.2.1',),
            'error: the server cannot listen on --host 192.0.2.1 --port 8501: ',
        ),
        (('--host', 'a' * 64), 'error: the server cannot listen on --host aaaa'),
        (('--host=a..b',), 'error: the server cannot listen on --host a..b'),
        (('--max-images=0',), '--max-images'),
    ],
)
def test_wrong_options(serving, options, message):
    done = call(serving, *options)

    assert done.exit_code == 2
    assert message in done.stderr


def test_damaged_model_is_one_error_line(serving, tmp_path):
    shutil.copytree(serving / '7', tmp_path / '7')
    (tmp_path / '7' / 'saved_model.pb').write_bytes(b'damaged')

    done = call(tmp_path, '--port=0')

    assert done.exit_code == 2
    assert done.stderr.startswith(f'error: the model in {tmp_path}/7 cannot be loaded: ')
    assert len(done.stderr.splitlines()) == 1


def test_missing_extra_prints_the_command_that_installs_it(serving, monkeypatch):
    monkeypatch.setitem(sys.modules, 'uvicorn', None)
    monkeypatch.delitem(sys.modules, 'pipeline.serving.server', raising=False)
    monkeypatch.delattr(pipeline.serving, 'server', raising=False)

    done = call(serving, '--port=0')

    assert done.exit_code == 2
    assert done.stderr == 'error: uvicorn is not installed; `make venv-dev` adds it\n'


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
