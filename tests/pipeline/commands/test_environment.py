"""Locales, shared folders and permissions of users."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from common.errors import ConfigError
from pipeline import metadata_store
from pipeline.config.metadata_config import MetadataConfig
from pipeline.metadata_store import SQLITE_FILE, existing_store, open_store

ROOT = Path(__file__).parents[3]
CLASSES = {'Äpfel', 'Žito'}  # the second is not in Latin-1


@pytest.fixture(scope='session')
def latin_locale(tmp_path_factory):
    """The environment of a locale with the encoding ISO-8859-1."""
    folder = tmp_path_factory.mktemp('locales')
    compiler = shutil.which('localedef')
    if compiler is None:
        pytest.skip('localedef is not installed')
    command = [compiler, '-i', 'de_DE', '-f', 'ISO-8859-1', str(folder / 'de_DE.ISO-8859-1')]
    subprocess.run(command, capture_output=True, check=False)
    if not any(folder.iterdir()):
        pytest.skip('the locale de_DE cannot be compiled')
    return {'LOCPATH': str(folder), 'LC_ALL': 'de_DE.ISO-8859-1'}


@pytest.mark.parametrize(
    ('locale', 'encoding'),
    [
        (None, 'utf-8'),
        pytest.param({'LC_ALL': 'POSIX'}, 'utf-8', marks=pytest.mark.slow),
        pytest.param(
            {'LC_ALL': 'C.UTF-8', 'PYTHONIOENCODING': 'latin-1'}, 'latin-1', marks=pytest.mark.slow
        ),
    ],
    ids=['Latin-1', 'POSIX', 'Latin-1 output'],
)
def test_names_are_utf8_in_each_locale(tmp_path, make_image_folder, request, locale, encoding):
    make_image_folder(tmp_path / 'bilder', 3, tuple(CLASSES))
    usual = {key: value for key, value in os.environ.items() if not key.startswith(('LC_', 'LANG'))}
    recipe = tmp_path / 'recipe.yaml'
    command = [sys.executable, 'pipeline_runner.py', 'init', tmp_path / 'bilder', '-o', recipe]
    variables = locale or request.getfixturevalue('latin_locale')

    done = subprocess.run(command, cwd=ROOT, env={**usual, **variables}, capture_output=True)

    assert done.returncode == 0, done.stderr
    assert b'Traceback' not in done.stderr
    output = done.stdout.decode(encoding)
    assert all(
        name in output or name.encode('latin-1', 'backslashreplace').decode('latin-1') in output
        for name in CLASSES
    )
    assert set(yaml.safe_load(recipe.read_text('utf-8'))['data']['classes']) == CLASSES


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


def test_metadata_of_another_user_can_be_read_and_not_written(tmp_path, monkeypatch):
    config = MetadataConfig()
    open_store(config, tmp_path)
    monkeypatch.setattr(metadata_store.os, 'access', lambda *_: False)

    with pytest.raises(ConfigError, match='no permission') as error:
        open_store(config, tmp_path)

    assert str(tmp_path / SQLITE_FILE) in str(error.value)
    assert existing_store(config, tmp_path) is not None
