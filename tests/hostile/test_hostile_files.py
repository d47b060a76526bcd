"""Files of a folder of runs that were edited, or replaced by pipes; pipes among the images."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path

import click.testing
import hostile_files as made
import pyarrow as pa
import pytest

from common.errors import DataError
from common.files import open_regular, read_regular, sha256_of
from components.image_example_gen.sources.archive import extract_archive
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.listing import File, LocalFolder
from components.image_example_gen.sources.base.source import every_image
from components.image_example_gen.sources.spans import make_source
from pipeline_runner import main

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(60)  # of a reader that waits for a pipe
STORED_RUN = ROOT / 'tests' / 'e2e' / 'stored_run.tar.xz'
DATABASE = 'metadata.sqlite'


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of the runs of the stored run, whose recipe is in the current folder."""
    with tarfile.open(STORED_RUN) as archive:
        archive.extractall(tmp_path, filter='data')
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'squares'


def call(*words):
    """The exit code and the only line of the error of a command."""
    done = click.testing.CliRunner().invoke(main, [*words, '--config=squares.yaml'])
    assert isinstance(done.exception, SystemExit), done.exception
    (line,) = [each for each in done.stderr.splitlines() if each.startswith('error: ')]
    return done.exit_code, line


def find(home, pattern):
    (path,) = home.glob(pattern)
    return path


SHOW = ['models', 'show']
CLOSED = 'error: standard output or error is closed; use /dev/null instead\n'


@pytest.mark.parametrize(
    ('pattern', 'command'),
    [
        (DATABASE, ['models']),
        ('serving/[0-9]*/assets.extra/push.json', ['models']),
        ('serving/[0-9]*/assets.extra/classes.json', ['predict', 'pets/cats/0.jpg']),
    ],
    ids=lambda value: Path(value).name if isinstance(value, str) else '',
)
def test_pipe_in_place_of_a_file_of_the_runs(home, pattern, command):
    path = find(home, pattern)
    path.unlink()
    os.mkfifo(path)

    code, line = call(*command)

    assert code == 2
    assert path.name in line or 'not a regular file' in line


@pytest.mark.parametrize(
    ('change', 'commands'),
    [
        ("update Artifact set uri = 'ftp://bucket/x'", [SHOW]),
        (
            "update ArtifactProperty set int_value = null, string_value = 'x' where name = 'span'",
            [SHOW],
        ),
        ("update ExecutionProperty set string_value = '{' where name = 'custom_config'", [SHOW]),
        ('delete from Event', [SHOW]),
        ('delete from EventPath', [SHOW]),
        ('delete from Artifact', [SHOW, ['models', 'unbless', '--reason', 'x']]),
    ],
)
def test_changed_metadata(home, change, commands):
    with contextlib.closing(sqlite3.connect(home / DATABASE)) as database:
        database.execute(change)
        database.commit()

    for command in commands:
        code, line = call(*command)
        assert code == 2
        assert line.startswith('error: the metadata ')
        assert ' cannot be used: ' in line


def test_edited_note_of_a_version(home):
    path = find(home, 'serving/[0-9]*/assets.extra/push.json')
    path.write_text(json.dumps(json.loads(path.read_text()) | {'pushed': '0001-01-01T00:00Z'}))

    code, line = call('models')

    assert code == 2
    assert f'{path.name} is damaged (pushed: ' in line


def test_pipe_that_replaces_a_file_of_the_data(tmp_path):
    """The file was a regular one when it was listed."""
    pipe = tmp_path / 'pipe.jpg'
    os.mkfifo(pipe)
    (found,) = LocalFolder(tmp_path).read([File(pipe.name)], 100)
    assert str(found) == 'unreadable: it cannot be read: not a regular file'
    for read in (open_regular, read_regular, sha256_of):
        with pytest.raises(OSError, match='not a regular file'):
            read(pipe)
    with pytest.raises(DataError, match=r'pipe\.jpg cannot be read: .*not a regular file'):
        make_source(DataConfig(source='tfrecord', path=pipe))
    with pytest.raises(OSError, match='not a regular file'):
        list(extract_archive(pipe, tmp_path / 'target' / '1'))

    columns = made.labelled(pa.array([made.IMAGE] * 2))
    path = made.parquet_of(tmp_path / 'a.parquet', columns, made.PETS)
    source = make_source(DataConfig(source='parquet', path=path))
    pipe.replace(path)
    with pytest.raises(DataError, match=r'a\.parquet cannot be read: .*not a regular file'):
        list(every_image(source))


@pytest.mark.parametrize('name', ['labels.csv', 'pets.zip', 'a.parquet', 'a.tfrecord'])
@pytest.mark.parametrize('make', [os.mkfifo, lambda path: path.symlink_to(path)])
def test_init_of_a_pipe_or_a_link_to_itself(tmp_path, name, make):
    make(tmp_path / name)
    (tmp_path / 'recipe').mkdir()

    output = tmp_path / 'recipe' / 'recipe.yaml'
    done = click.testing.CliRunner().invoke(
        main, ['init', str(tmp_path / name), '-o', str(output), '--weights=embedded']
    )

    assert done.exit_code == 2, done.exception
    assert done.stderr.startswith('error: ')
    assert str(tmp_path / name) in done.stderr
    assert done.stderr.count('\n') == 1


def test_link_to_a_file_that_waits_for_ever(tmp_path):
    """Files of /proc state no bytes; some have messages of the system, and wait for more."""
    (tmp_path / 'a.jpg').symlink_to('/proc/self/environ')
    (found,) = LocalFolder(tmp_path).read([File('a.jpg')], 10**6)
    assert found == b''


@pytest.mark.parametrize(
    ('closed', 'code', 'words'),
    [
        ('>&-', 2, CLOSED),
        ('2>&-', 2, CLOSED),
        ('<&-', 0, ''),
        ('>&- 2>&-', 2, ''),
    ],
)
def test_closed_standard_streams(closed, code, words, tmp_path):
    command = f'{sys.executable} pipeline_runner.py config --config demo {closed}'
    done = subprocess.run(['sh', '-c', command], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == code
    assert done.stdout.startswith('name: demo') if code == 0 else done.stdout + done.stderr == words
