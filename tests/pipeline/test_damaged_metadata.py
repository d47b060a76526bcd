"""Every command that reads the metadata reports a damaged SQLite file."""

import contextlib
import os
import sqlite3

import pytest

from common.errors import MetadataError
from pipeline import metadata_store
from pipeline.config.metadata_config import MetadataConfig
from pipeline.metadata_store import SQLITE_FILE, existing_store, open_store

REMEDY = 'restore a backup, or move the file away to start without the history of earlier runs'
COMMANDS = {
    'models show': ('1',),
    'models rollback': ('--reason', 'why'),
    'run': ('--set', 'trainer.image_size=32', '--set', 'trainer.weights=random'),
}


@pytest.fixture
def home(tmp_path):
    home = tmp_path / 'pets'
    open_store(MetadataConfig(), home)
    return home


def overwrite(file):
    file.write_text('a shopping list\n' * 1000)


def truncate(file):
    os.truncate(file, file.stat().st_size // 2)


def corrupt(file):
    with file.open('r+b') as contents:
        contents.seek(40_000)
        contents.write(b'\xee' * 30_000)


@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (overwrite, 'file is not a database'),
        (truncate, 'database disk image is malformed'),
        (corrupt, '*** in database main *** '),
    ],
)
def test_error_names_file_problem_and_remedy(home, damage, reason):
    damage(home / SQLITE_FILE)

    with pytest.raises(MetadataError) as error:
        existing_store(MetadataConfig(), home)

    message = str(error.value)
    assert message.startswith(f'the metadata in {home / SQLITE_FILE} cannot be used: {reason}')
    assert message.endswith(f'; {REMEDY}')
    assert '\n' not in message


def test_waits_for_a_locked_file_and_gives_up(home, monkeypatch):
    monkeypatch.setattr(metadata_store, '_LOCK_SECONDS', 0.1)
    with contextlib.closing(sqlite3.connect(home / SQLITE_FILE)) as database:
        database.execute('begin immediate')  # others may read
        existing_store(MetadataConfig(), home)
        database.execute('commit')
        database.execute('begin exclusive')
        with pytest.raises(MetadataError, match=r'cannot be used: database is locked$'):
            open_store(MetadataConfig(), home)


def test_reports_a_newer_schema(home):
    with contextlib.closing(sqlite3.connect(home / SQLITE_FILE)) as database:
        database.execute('update MLMDEnv set schema_version = 99')
        database.commit()
    with pytest.raises(MetadataError, match=r'cannot be used: .*version 99') as error:
        open_store(MetadataConfig(), home)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('command', COMMANDS)
def test_commands_report_damage_without_changing_the_file(home, invoke, command):
    overwrite(home / SQLITE_FILE)

    done = invoke(*command.split(), *COMMANDS[command])

    assert done.exit_code == 2
    assert done.stderr.endswith(f'cannot be used: file is not a database; {REMEDY}\n')
    assert ' done' not in done.stdout  # of a component
    assert (home / SQLITE_FILE).read_text().startswith('a shopping list')
