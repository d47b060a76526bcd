"""A metadata file that is damaged is named in one sentence, by every command that reads it."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import click.testing
import pytest

from common.errors import MetadataError
from pipeline.config.metadata_config import MetadataConfig
from pipeline.metadata_store import SQLITE_FILE, check_file, open_store
from pipeline_runner import main

REPOSITORY = Path(__file__).parents[2]
REMEDY = (
    'put a copy from before in its place, or move it away to begin anew, without what earlier '
    'runs left'
)
READING = {
    'status': (),
    'lineage': ('1',),
    'why': (),
    'models': (),
    'rollback': ('--reason', 'why'),
    'bless': ('--force', '--reason', 'why'),
    'unbless': ('--reason', 'why'),
    'retrain': (),
}


@pytest.fixture
def home(tmp_path):
    home = tmp_path / 'pets'
    open_store(MetadataConfig(), home)
    return home


def overwrite(file):
    file.write_text('a shopping list\n' * 1000)


def cut(file):
    os.truncate(file, file.stat().st_size // 2)


def scribble(file):
    with file.open('r+b') as contents:
        contents.seek(40_000)
        contents.write(b'\xee' * 30_000)


def damaged(home, damage):
    damage(home / SQLITE_FILE)
    with pytest.raises(MetadataError) as caught:
        check_file(MetadataConfig(), home)
    return str(caught.value)


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (overwrite, 'file is not a database'),
        (cut, 'database disk image is malformed'),
        (scribble, 'the file is damaged'),
    ],
)
def test_the_sentence_names_the_file_what_is_wrong_and_what_to_do(home, damage, reason):
    assert damaged(home, damage) == (
        f'the metadata in {home / SQLITE_FILE} cannot be used: {reason}; {REMEDY}'
    )


def test_a_file_that_is_whole_passes_also_while_somebody_writes(home):
    check_file(MetadataConfig(), home)
    with sqlite3.connect(home / SQLITE_FILE) as database:
        database.execute('begin immediate')
        check_file(MetadataConfig(), home)


@pytest.mark.parametrize('command', READING)
def test_commands_say_it_at_once_and_leave_the_file_alone(home, command):
    overwrite(home / SQLITE_FILE)
    options = ['--set', 'name=pets', '--workdir', str(home.parent)]

    done = click.testing.CliRunner().invoke(main, [command, *READING[command], *options])

    assert done.exit_code == (1 if command == 'retrain' else 2)
    assert done.stderr.endswith(f'cannot be used: file is not a database; {REMEDY}\n')
    assert (home / SQLITE_FILE).read_text().startswith('a shopping list')


def test_a_run_does_not_begin(home, make_image_folder):
    cut(home / SQLITE_FILE)
    images = make_image_folder(home.parent / 'images', per_class=2)
    small = ['trainer.image_size=32', 'trainer.alpha=0.35', 'name=pets']
    done = subprocess.run(
        [
            sys.executable,
            REPOSITORY / 'pipeline_runner.py',
            'run',
            '--data',
            images,
            '--workdir',
            home.parent,
            *(f'--set={each}' for each in small),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 2
    assert ' ...' not in done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith(f'error: the metadata in {home / SQLITE_FILE} cannot be used: ')
    assert line.endswith(REMEDY)
