"""Locales, shared folders and permissions of users."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import ConfigError
from pipeline import metadata_store
from pipeline.commands import error_handling
from pipeline.config.metadata_config import MetadataConfig
from pipeline.metadata_store import SQLITE_FILE, existing_store, open_store

ROOT = Path(__file__).parents[3]


def test_process_restarts_in_utf8_mode(monkeypatch):
    called = []
    monkeypatch.setattr(sys, 'getfilesystemencoding', lambda: 'iso-8859-1')
    monkeypatch.setattr(sys, 'orig_argv', ['python', 'pipeline_runner.py', 'runs'])
    monkeypatch.setattr(os, 'environ', {})
    monkeypatch.setattr(os, 'execv', lambda *words: called.extend(words))

    error_handling.start_process()

    command = [sys.executable, '-X', 'utf8', 'pipeline_runner.py', 'runs']
    assert called == [sys.executable, command]
    assert os.environ == {'PYTHONUTF8': '1'}


def test_characters_that_the_output_cannot_have_are_escaped():
    command = [sys.executable, 'pipeline_runner.py', 'config', '--config', 'Äpfel und Žito']
    variables = {**os.environ, 'PYTHONIOENCODING': 'latin-1'}

    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True)

    assert done.stderr.decode('latin-1').startswith(r'error: recipe Äpfel und \u017dito does not')


@pytest.mark.parametrize(('umask', 'mode'), [(0o002, 0o664), (0o077, 0o600)])
def test_files_of_a_workdir_follow_the_umask(tmp_path, umask, mode):
    script = (
        'import sys; from pathlib import Path; from common.errors import AlreadyRunning\n'
        'from common.files import locked\n'
        'from pipeline.config.metadata_config import MetadataConfig\n'
        'from pipeline.metadata_store import open_store\n'
        'home = Path(sys.argv[1])\n'
        'open_store(MetadataConfig(), home)\n'
        'with locked(home / ".lock", AlreadyRunning()): pass\n'
    )
    command = [sys.executable, '-c', script, str(tmp_path / 'runs')]
    subprocess.run(command, check=True, umask=umask, cwd=ROOT)

    files = [each for each in (tmp_path / 'runs').iterdir() if each.is_file()]
    assert {each.name: each.stat().st_mode & 0o777 for each in files} == {
        SQLITE_FILE: mode,
        '.lock': mode,
    }


@pytest.mark.parametrize(
    ('variables', 'umask', 'mode'),
    [({}, 0, 0o666), ({'CATDOG_CONTAINER': '1'}, 0, 0o644), ({'CATDOG_CONTAINER': '1'}, 2, 0o664)],
)
def test_only_commands_in_a_container_replace_umask_0(tmp_path, variables, umask, mode):
    script = (
        'import sys; from pathlib import Path\n'
        'from pipeline.commands.error_handling import start_process\n'
        'start_process(); Path(sys.argv[1]).touch()\n'
    )
    command = [sys.executable, '-c', script, str(tmp_path / 'file')]
    environment = {**os.environ, **variables}
    subprocess.run(command, check=True, umask=umask, cwd=ROOT, env=environment)

    assert (tmp_path / 'file').stat().st_mode & 0o777 == mode


def test_metadata_of_another_user_can_be_read_and_not_written(tmp_path, monkeypatch):
    config = MetadataConfig()
    open_store(config, tmp_path)
    monkeypatch.setattr(metadata_store.os, 'access', lambda *_: False)

    with pytest.raises(ConfigError, match='no permission') as error:
        open_store(config, tmp_path)

    assert str(tmp_path / SQLITE_FILE) in str(error.value)
    assert existing_store(config, tmp_path) is not None
