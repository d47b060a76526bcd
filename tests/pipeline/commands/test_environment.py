"""Locales, home folders, shared folders and file systems of users."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click.testing
import pytest
import yaml

from common.errors import ConfigError
from pipeline import metadata_store
from pipeline.commands.options import load
from pipeline.config.metadata_config import MetadataConfig
from pipeline.execution import recipe_checks
from pipeline.metadata_store import SQLITE_FILE, existing_store, open_store
from pipeline_runner import main

RUNNER = Path(__file__).parents[3] / 'pipeline_runner.py'
CLASSES = {'Äpfel', 'Žito'}  # the second is not in Latin-1


def run(*words, umask=-1, **environment):
    command = [sys.executable, str(RUNNER), *map(str, words)]
    usual = {key: value for key, value in os.environ.items() if not key.startswith(('LC_', 'LANG'))}
    return subprocess.run(
        command, env={**usual, **environment}, capture_output=True, check=False, umask=umask
    )


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
    'locale',
    [
        'latin',
        pytest.param('POSIX', marks=pytest.mark.slow),
        pytest.param('Latin-1 output', marks=pytest.mark.slow),
    ],
)
def test_names_are_utf8_in_each_locale(tmp_path, make_image_folder, request, locale):
    make_image_folder(tmp_path / 'bilder', 3, tuple(CLASSES))
    environment = {
        'POSIX': {'LC_ALL': 'POSIX'},
        'Latin-1 output': {'LC_ALL': 'C.UTF-8', 'PYTHONIOENCODING': 'latin-1'},
    }.get(locale) or request.getfixturevalue('latin_locale')
    recipe = tmp_path / 'recipe.yaml'

    done = run('init', tmp_path / 'bilder', '-o', recipe, **environment)

    assert done.returncode == 0, done.stderr
    assert b'Traceback' not in done.stderr
    if locale == 'Latin-1 output':
        assert r'\u017dito' in done.stdout.decode('latin-1')
    else:
        assert all(name in done.stdout.decode() for name in CLASSES)
    assert set(yaml.safe_load(recipe.read_text('utf-8'))['data']['classes']) == CLASSES


def test_tilde_of_an_option_is_the_home_folder(tmp_path, monkeypatch, make_image_folder):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    make_image_folder(tmp_path / 'photos', 1)
    options = ['--data=~/photos', '--workdir=~/runs', '--weights=~/w.h5']
    values = yaml.safe_load(click.testing.CliRunner().invoke(main, ['config', *options]).stdout)

    assert values['data']['path'] == str(tmp_path / 'photos')
    assert values['workdir'] == str(tmp_path / 'runs')
    assert values['trainer']['weights'] == str(tmp_path / 'w.h5')


@pytest.mark.parametrize(('umask', 'mode'), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
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
    subprocess.run(command, check=True, umask=umask, cwd=RUNNER.parent)

    files = [each for each in (tmp_path / 'runs').iterdir() if each.is_file()]
    assert {each.name for each in files} == {SQLITE_FILE, '.lock'}
    assert {each.stat().st_mode & 0o777 for each in files} == {mode}


def test_metadata_of_another_user_can_be_read_and_not_written(tmp_path, monkeypatch):
    config = MetadataConfig()
    open_store(config, tmp_path)
    monkeypatch.setattr(metadata_store.os, 'access', lambda *_: False)

    with pytest.raises(ConfigError, match='no permission') as error:
        open_store(config, tmp_path)

    assert str(tmp_path / SQLITE_FILE) in str(error.value)
    assert existing_store(config, tmp_path) is not None


def test_disk_space_of_a_workdir_that_does_not_exist_yet(tmp_path, monkeypatch):
    from trainer.data import cache_plan
    from trainer.model import backbone

    places = []
    monkeypatch.setattr(cache_plan, 'plan_cache', lambda *args: places.append(args[-1]))
    monkeypatch.setattr(backbone, 'build_backbone', lambda _: None)
    recipe = load('demo', (), None, None, str(tmp_path / 'new' / 'runs'))

    recipe_checks.check_network(recipe, 100)

    assert places == [tmp_path]
