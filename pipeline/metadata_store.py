"""Connects to ML Metadata. Imports no TFX: a look at the history takes a second that way."""

import contextlib
import os
import random
import re
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import ml_metadata
from ml_metadata.proto import metadata_store_pb2

from common.errors import MetadataDamaged, MetadataError
from pipeline.config.metadata_config import SQLITE, MetadataConfig, parse_address

SQLITE_FILE = 'metadata.sqlite'  # in the folder of the runs
_PATIENCE = 10.0  # seconds for a MySQL server to greet
_CALL_PATIENCE = 30.0  # seconds for one call over gRPC; ml_metadata would wait without end
_ATTEMPTS = 20
# A MySQL packet: 3 bytes of length, 1 of sequence; then the protocol's version, or an error.
_HANDSHAKE, _ERROR = 10, 255


def connection(config: MetadataConfig, home: Path) -> Any:
    """What TFX connects with.

    Args:
        config: the `metadata:` part of the recipe.
        home: the folder of the runs, for the file.

    Returns:
        An `ml_metadata` ConnectionConfig or MetadataStoreClientConfig.

    Raises:
        MetadataError: the variable with the password is not set.
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
            host=address.host, port=address.port, client_timeout_sec=_CALL_PATIENCE
        )
    password = os.environ.get(config.password_env)
    if password is None:
        raise MetadataError(
            f'the environment variable {config.password_env}, with the password of '
            f'{config.address}, is not set'
        )
    # MySQL's client takes localhost for its Unix socket, and leaves the port unread.
    host = '127.0.0.1' if address.host == 'localhost' else address.host
    server = metadata_store_pb2.MySQLDatabaseConfig(
        host=host,
        port=address.port,
        database=address.database,
        user=address.user,
        password=password,
    )
    return metadata_store_pb2.ConnectionConfig(mysql=server)


def open_store(config: MetadataConfig, home: Path) -> ml_metadata.MetadataStore:
    """Connects, and creates the tables where there are none.

    Raises:
        MetadataError: nothing answers within half a minute, or it refuses the connection.
    """
    check_file(config, home)
    wanted = connection(config, home)
    where = home / SQLITE_FILE if config.address == SQLITE else config.address
    try:
        if isinstance(wanted, metadata_store_pb2.ConnectionConfig) and wanted.HasField('mysql'):
            _expect_greeting(wanted.mysql.host, wanted.mysql.port)
        return _answering(wanted)
    except Exception as error:  # of the socket, of grpc, or of ml_metadata's own kinds
        reason = _reason(error, config)
        raise MetadataError(f'the metadata in {where} cannot be used: {reason}') from error


def existing_store(config: MetadataConfig, home: Path) -> ml_metadata.MetadataStore | None:
    """The store, for somebody who only looks: no file is made where there is none.

    Raises:
        MetadataError: as `open_store`.
    """
    if config.address == SQLITE and not (home / SQLITE_FILE).exists():
        return None
    return open_store(config, home)


def check_file(config: MetadataConfig, home: Path) -> None:
    """Reads the file through, which takes about a millisecond: ml_metadata may open a damaged one.

    Raises:
        MetadataDamaged: it is damaged, or no database.
    """
    file = home / SQLITE_FILE
    if config.address != SQLITE or not file.exists():
        return
    try:
        address = f'{file.absolute().as_uri()}?mode=ro'
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            (found,) = database.execute('PRAGMA quick_check(1)').fetchone()
        reason = None if found == 'ok' else 'the file is damaged'
    except sqlite3.OperationalError:  # busy, or not ours to read: ml_metadata says so
        return
    except sqlite3.DatabaseError as error:
        reason = str(error)
    if reason:
        raise MetadataDamaged(
            f'the metadata in {file} cannot be used: {reason}; put a copy from before in its '
            'place, or move it away to begin anew, without what earlier runs left'
        )


def _expect_greeting(host: str, port: int) -> None:
    """Reads what a MySQL server says first; ml_metadata waits for it without end and hides errors.

    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
    """
    with socket.create_connection((host, port), timeout=_PATIENCE) as server:
        _, _, _, _, kind, *rest = server.recv(512).ljust(5, b'\0')
    if kind == _ERROR:  # such as "Too many connections"; its number comes first
        raise MetadataError(re.sub(r'^#\w{5}', '', bytes(rest[2:]).decode(errors='replace')))
    if kind != _HANDSHAKE:
        raise MetadataError('what answers there is no MySQL or MariaDB server')


def _answering(wanted: Any) -> ml_metadata.MetadataStore:
    """Opens the store, again while another process is making its tables."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            store = ml_metadata.MetadataStore(wanted)
            store.get_context_types()
        except RuntimeError as error:  # nothing else tells it from a refusal
            busy = re.search('aborted|concurrent connection', str(error))
            if not busy or attempt == _ATTEMPTS:
                raise
            time.sleep(random.uniform(0.1, 0.5))  # not in step with the other
        else:
            return store
    raise AssertionError('the last attempt returns or raises')


def _reason(error: Exception, config: MetadataConfig) -> str:
    """Why there is no connection, as a person would say it."""
    text = ' '.join(str(getattr(error, 'message', error)).split())
    text = text.rpartition('error: ')[2] or text  # MySQL's own words stand last
    match error:
        case TimeoutError() | ml_metadata.errors.DeadlineExceededError():
            return 'nothing answered in time'
        case OSError():
            return f'nothing answers there ({error.strerror})'
        case ml_metadata.errors.UnavailableError():
            return f'no gRPC server answers there ({text})'
        case ml_metadata.errors.UnimplementedError():
            return 'what answers there is no ML Metadata server'
        case RuntimeError() if 'mysql_real_connect failed' in text:  # and no more
            return (
                f'the server refuses the user, or the password in {config.password_env}, '
                'or has no mysql_native_password for the user'
            )
    return text
