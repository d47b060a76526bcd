"""Connects to ML Metadata. Imports no TFX, so that commands that read it start in a second."""

import contextlib
import logging
import os
import random
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_metadata import MetadataStore, errors
from ml_metadata.proto import metadata_store_pb2

from common.errors import ConfigError, MetadataDamaged, MetadataError
from pipeline.config.metadata_config import SQLITE, MetadataConfig, parse_address

SQLITE_FILE = 'metadata.sqlite'  # in the folder of the runs
_MYSQL_TIMEOUT = 10.0  # seconds until the handshake of a MySQL server
_GRPC_TIMEOUT = 30.0  # seconds for each call; the default of ml_metadata is no timeout
_CONNECT_SECONDS = 20.0  # for retries while other processes create the tables
_LOCKED_ATTEMPTS = 2  # aborted ones, after which a lock is reported
_LOCK_SECONDS = 30.0  # until an SQLite file that another process has locked is given up
_LOCK_NOTICE = 2.0  # seconds before the wait is announced
_HANDSHAKE, _ERROR = 10, 255  # fifth byte of the first packet of a MySQL server


_log = logging.getLogger(__name__)


def connection_config(config: MetadataConfig, home: Path) -> Any:
    """Returns a ConnectionConfig or MetadataStoreClientConfig of `ml_metadata`.

    The folder of the runs, `home`, holds the SQLite file. Raises MetadataError if the environment
    variable with the password is not set.
    """
    if config.address == SQLITE:
        home.mkdir(parents=True, exist_ok=True)
        file = metadata_store_pb2.SqliteMetadataSourceConfig(
            filename_uri=str(home / SQLITE_FILE), connection_mode='READWRITE_OPENCREATE'
        )
        return metadata_store_pb2.ConnectionConfig(sqlite=file)
    address = parse_address(config.address)
    if address.scheme == 'grpc':
        return metadata_store_pb2.MetadataStoreClientConfig(
            host=address.host, port=address.port, client_timeout_sec=_GRPC_TIMEOUT
        )
    password = os.environ.get(config.password_env)
    if password is None:
        raise MetadataError(
            f'{config.address} needs a password, but the environment variable '
            f'{config.password_env} is not set'
        )
    server = metadata_store_pb2.MySQLDatabaseConfig(
        # MySQL's client uses a Unix socket for localhost, and ignores the port.
        host='127.0.0.1' if address.host == 'localhost' else address.host,
        port=address.port,
        database=address.database,
        user=address.user,
        password=password,
    )
    return metadata_store_pb2.ConnectionConfig(mysql=server)


def open_store(config: MetadataConfig, home: Path) -> MetadataStore:
    """Connects to ML Metadata to write it, and creates the tables if they do not exist.

    Raises:
        ConfigError: the user may not write the SQLite file.
        MetadataError: the server does not respond within half a minute, or refuses the connection.
    """
    file = home / SQLITE_FILE
    if config.address == SQLITE and not file.exists():
        home.mkdir(parents=True, exist_ok=True)
        file.touch()  # with the rights that the umask leaves; SQLite never gives any to a group
    elif config.address == SQLITE and not (os.access(file, os.W_OK) and os.access(home, os.W_OK)):
        raise ConfigError(
            f'the metadata in {file} cannot be written: you have no permission; let their owner '
            f'call `chmod -R g+w {home}`, or give another --workdir'
        )
    return _open_store(config, home)


def _open_store(config: MetadataConfig, home: Path) -> MetadataStore:
    check_file(config, home)
    target = connection_config(config, home)
    where = home / SQLITE_FILE if config.address == SQLITE else config.address
    try:
        if config.address.startswith('mysql:'):
            _check_handshake(target.mysql.host, target.mysql.port)
        return _connect(target)
    except Exception as error:  # of the socket, gRPC or ml_metadata
        reason = _reason(error, config)
        raise MetadataError(f'the metadata in {where} cannot be used: {reason}') from error


def existing_store(config: MetadataConfig, home: Path) -> MetadataStore | None:
    """Connects to ML Metadata to read it; None if the SQLite file does not exist."""
    if config.address == SQLITE and not (home / SQLITE_FILE).exists():
        return None
    return _open_store(config, home)


@contextlib.contextmanager
def reporting_errors() -> Iterator[None]:
    """Raises MetadataError if the server goes away after `open_store`."""
    try:
        yield
    except errors.StatusError as error:
        raise MetadataError(f'the metadata cannot be read: {error}') from error


def check_file(config: MetadataConfig, home: Path) -> None:
    """Checks the SQLite file, in about a millisecond, because ml_metadata may open a damaged one.

    Waits, with a message, for a process that has locked the file: a run holds the lock for
    milliseconds, and ml_metadata would wait for minutes without a message.

    Raises:
        MetadataDamaged: the file is damaged, or not a database.
        MetadataError: the file is locked for more than `_LOCK_SECONDS`.
    """
    file = home / SQLITE_FILE
    if config.address != SQLITE or not file.exists():
        return
    if not file.is_file():  # opening and closing it would release the locks of this process
        raise _damaged(file, 'not a regular file')
    try:
        address = f'{file.absolute().as_uri()}?mode=ro'
        with contextlib.closing(
            sqlite3.connect(address, timeout=_LOCK_NOTICE, uri=True)
        ) as database:
            if _quick_check(database, file) == ('ok',):
                return
        reason = 'the file is damaged'
    except sqlite3.OperationalError:  # not readable, which ml_metadata reports
        return
    except sqlite3.DatabaseError as error:
        reason = str(error)
    raise _damaged(file, reason)


def _quick_check(database: sqlite3.Connection, file: Path) -> Any:
    """The first row of SQLite's quick check, when no other process has locked the file."""
    waited = 0.0
    while True:
        try:
            return database.execute('PRAGMA quick_check(1)').fetchone()
        except sqlite3.OperationalError as error:
            if 'locked' not in str(error):  # its code is in Python 3.11 and later
                raise
        if not waited:
            _log.warning('another process has locked the metadata in %s; waiting', file)
        waited += _LOCK_NOTICE
        if waited >= _LOCK_SECONDS:
            raise _locked(file)


def _report_locked_file() -> None:
    """Makes every store of this process report that another process has locked the SQLite file.

    ml_metadata waits for it without a message, and its error does not name the file. TFX opens
    stores of its own, so the class is changed.
    """
    call, call_once = MetadataStore._call, MetadataStore._call_method
    attempts: Counter[str] = Counter()  # that were aborted, of one call

    def warn_if_locked(store: MetadataStore, *args: Any) -> None:
        try:
            call_once(store, *args)
        except errors.AbortedError:  # the caller tries again
            file = _sqlite_file(store)
            attempts[file] += 1
            # The first may be aborted at once, if both processes of a run write at the same time.
            if file and attempts[file] == _LOCKED_ATTEMPTS:
                _log.warning('another process has locked the metadata in %s; waiting', file)
            raise

    def raise_if_locked(store: MetadataStore, *args: Any, **options: Any) -> None:
        try:
            call(store, *args, **options)
        except errors.AbortedError as error:
            if file := _sqlite_file(store):
                raise _locked(file) from error
            raise
        finally:
            attempts.clear()

    MetadataStore._call, MetadataStore._call_method = raise_if_locked, warn_if_locked


def damaged_contents(store: MetadataStore, error: Exception) -> MetadataDamaged:
    """The error for metadata that lack something, or have it changed."""
    reason = f'their contents were changed ({type(error).__name__}: {error})'
    return _damaged(_sqlite_file(store) or 'the server', reason)


def _damaged(where: Path | str, reason: str) -> MetadataDamaged:
    return MetadataDamaged(
        f'the metadata in {where} cannot be used: {reason}; restore a backup, or move the file '
        'away to start without the history of earlier runs'
    )


def _sqlite_file(store: MetadataStore) -> str:
    config = store._config
    is_file = isinstance(config, metadata_store_pb2.ConnectionConfig) and config.HasField('sqlite')
    return config.sqlite.filename_uri if is_file else ''


def _locked(file: Path | str) -> MetadataError:
    return MetadataError(
        f'the metadata in {file} cannot be used: another process has locked it; end that process, '
        'or try again'
    )


def _check_handshake(host: str, port: int) -> None:
    """Reads the first packet of a MySQL server; ml_metadata has no timeout for it."""
    with socket.create_connection((host, port), timeout=_MYSQL_TIMEOUT) as server:
        packet = server.recv(512).ljust(5, b'\0')
    if packet[4] == _ERROR:  # such as "Too many connections", after its number
        raise MetadataError(packet[7:].decode(errors='replace'))
    if packet[4] != _HANDSHAKE:
        raise MetadataError('not a MySQL or MariaDB server')


def _connect(target: Any) -> MetadataStore:
    """Opens the store; retries while another process creates the tables."""
    start, warned = time.monotonic(), False
    while time.monotonic() < start + _CONNECT_SECONDS:
        try:
            store = MetadataStore(target)
            store.get_context_types()
            return store
        except RuntimeError as error:  # only the text distinguishes it from a refusal
            if not ('aborted' in str(error) or 'concurrent connection' in str(error)):
                raise
            if not warned and time.monotonic() > start + _LOCK_NOTICE:
                _log.warning('other processes have locked the metadata; waiting')
                warned = True
            time.sleep(random.uniform(0.1, 0.5))  # jitter
    raise MetadataError(
        'other processes have locked it or are creating its tables, or tables are missing; try '
        'again, or restore a backup'
    )


def _reason(error: Exception, config: MetadataConfig) -> str:
    """Formats an error of the connection as one clause."""
    text = ' '.join(str(getattr(error, 'message', error)).split())
    text = text.rpartition('error: ')[2] or text  # the message of MySQL comes last
    match error:
        case TimeoutError() | errors.DeadlineExceededError():
            return 'the server did not respond in time'
        case OSError():
            return f'cannot connect ({error.strerror})'
        case errors.UnimplementedError():
            return 'not an ML Metadata server'
        case RuntimeError() if 'mysql_real_connect failed' in text:  # without a reason
            return (
                f'the server rejects the user or the password in {config.password_env}, or does '
                'not use mysql_native_password for the user'
            )
    return text


_report_locked_file()
