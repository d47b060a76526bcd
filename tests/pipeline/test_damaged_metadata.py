"""Every command that reads the metadata reports a damaged SQLite file."""

import contextlib
import itertools
import logging
import os
import sqlite3
import time

import pytest
from ml_metadata import errors

from common.errors import MetadataError
from pipeline import metadata_store
from pipeline.config.metadata_config import MetadataConfig
from pipeline.metadata_store import SQLITE_FILE, check_file, open_store

REMEDY = 'restore a backup, or move the file away to start without the history of earlier runs'
COMMANDS = {
    'lineage': ('1',),
    'models': (),
    'rollback': ('--reason', 'why'),
    'bless': ('1', '--force', '--reason', 'why'),
    'unbless': ('--reason', 'why'),
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
        (corrupt, 'the file is damaged'),
    ],
)
def test_error_names_file_problem_and_remedy(home, damage, reason):
    damage(home / SQLITE_FILE)

    with pytest.raises(MetadataError) as error:
        check_file(MetadataConfig(), home)

    assert str(error.value) == (
        f'the metadata in {home / SQLITE_FILE} cannot be used: {reason}; {REMEDY}'
    )


def test_accepts_intact_file_during_a_transaction(home):
    check_file(MetadataConfig(), home)
    with contextlib.closing(sqlite3.connect(home / SQLITE_FILE)) as database:
        database.execute('begin immediate')
        check_file(MetadataConfig(), home)


def test_waits_for_locked_file_with_a_message_and_an_end(home, monkeypatch, caplog):
    monkeypatch.setattr(metadata_store, '_LOCK_NOTICE', 0.05)
    monkeypatch.setattr(metadata_store, '_LOCK_SECONDS', 0.2)
    with contextlib.closing(sqlite3.connect(home / SQLITE_FILE)) as database:
        database.execute('begin exclusive')

        with pytest.raises(MetadataError, match='another process has locked it; end'):
            open_store(MetadataConfig(), home)

    assert caplog.messages == [
        f'another process has locked the metadata in {home / SQLITE_FILE}; waiting'
    ]


def test_continues_when_the_lock_is_released(home, monkeypatch, caplog):
    monkeypatch.setattr(metadata_store, '_LOCK_NOTICE', 0.05)
    with contextlib.closing(
        sqlite3.connect(home / SQLITE_FILE, check_same_thread=False)
    ) as database:
        database.execute('begin exclusive')
        release = logging.Handler()  # when the message is logged
        release.emit = lambda record: database.rollback()
        logger = logging.getLogger(metadata_store.__name__)
        logger.addHandler(release)
        try:
            open_store(MetadataConfig(), home)
        finally:
            logger.removeHandler(release)

    assert len(caplog.messages) == 1


@pytest.mark.parametrize(('aborted', 'warnings'), [(1, 0), (3, 1)])
def test_reports_a_lock_that_lasts_not_two_simultaneous_writes(
    home, monkeypatch, caplog, aborted, warnings
):
    store = open_store(MetadataConfig(), home)
    call, numbers = store._pywrap_cc_call, itertools.count(1)

    def abort_or_call(*arguments):
        if next(numbers) <= aborted:
            raise errors.AbortedError('database is locked')
        call(*arguments)

    monkeypatch.setattr(store, '_pywrap_cc_call', abort_or_call)
    monkeypatch.setattr(time, 'sleep', lambda _: None)

    assert store.get_contexts() is not None
    assert len(caplog.messages) == warnings


@pytest.mark.parametrize('command', COMMANDS)
def test_commands_report_damage_without_changing_the_file(home, invoke, command):
    overwrite(home / SQLITE_FILE)

    done = invoke(command, *COMMANDS[command])

    assert done.exit_code == 2
    assert done.stderr.endswith(f'cannot be used: file is not a database; {REMEDY}\n')
    assert ' done' not in done.stdout  # of a component
    assert (home / SQLITE_FILE).read_text().startswith('a shopping list')
