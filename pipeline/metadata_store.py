"""Connects to ML Metadata. Imports no TFX, so that commands that read it start in a second."""

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
_MYSQL_TIMEOUT = 10.0  # seconds until the handshake of a MySQL server
_GRPC_TIMEOUT = 30.0  # seconds for each call; the default of ml_metadata is no timeout
_ATTEMPTS = 20
# Fifth byte of the first MySQL packet, after 3 bytes of length and 1 of sequence number.
_HANDSHAKE, _ERROR = 10, 255


def connection_config(config: MetadataConfig, home: Path) -> Any:
    """Returns the ML Metadata connection config, for TFX and `MetadataStore`.

    Args:
        config: the `metadata:` section of the recipe.
        home: the folder of the runs, which holds the SQLite file.

    Returns:
        An `ml_metadata` ConnectionConfig or MetadataStoreClientConfig.

    Raises:
        MetadataError: the environment variable with the password is not set.
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
    # MySQL's client uses a Unix socket for localhost, and ignores the port.
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
    """Connects to ML Metadata, and creates the tables if they do not exist.

    Raises:
        MetadataError: the server does not respond within half a minute, or refuses the connection.
    """
    check_file(config, home)
    target = connection_config(config, home)
    where = home / SQLITE_FILE if config.address == SQLITE else config.address
    try:
        if isinstance(target, metadata_store_pb2.ConnectionConfig) and target.HasField('mysql'):
            _check_handshake(target.mysql.host, target.mysql.port)
        return _connect(target)
    except Exception as error:  # of the socket, gRPC or ml_metadata
        reason = _reason(error, config)
        raise MetadataError(f'the metadata in {where} cannot be used: {reason}') from error


def existing_store(config: MetadataConfig, home: Path) -> ml_metadata.MetadataStore | None:
    """Connects to ML Metadata for reading; None if the SQLite file does not exist.

    Raises:
        MetadataError: as `open_store`.
    """
    if config.address == SQLITE and not (home / SQLITE_FILE).exists():
        return None
    return open_store(config, home)


def check_file(config: MetadataConfig, home: Path) -> None:
    """Checks the SQLite file, in about a millisecond, because ml_metadata may open a damaged one.

    Raises:
        MetadataDamaged: the file is damaged, or not a database.
    """
    file = home / SQLITE_FILE
    if config.address != SQLITE or not file.exists():
        return
    try:
        address = f'{file.absolute().as_uri()}?mode=ro'
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            (result,) = database.execute('PRAGMA quick_check(1)').fetchone()
        reason = None if result == 'ok' else 'the file is damaged'
    except sqlite3.OperationalError:  # locked or not readable, which ml_metadata reports
        return
    except sqlite3.DatabaseError as error:
        reason = str(error)
    if reason:
        raise MetadataDamaged(
            f'the metadata in {file} cannot be used: {reason}; restore a backup, or move '
            'the file away to start without the history of earlier runs'
        )


def _check_handshake(host: str, port: int) -> None:
    """Reads the first packet of a MySQL server; ml_metadata has no timeout for it and hides errors.

    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html
    """
    with socket.create_connection((host, port), timeout=_MYSQL_TIMEOUT) as server:
        _, _, _, _, kind, *rest = server.recv(512).ljust(5, b'\0')
    if kind == _ERROR:  # such as "Too many connections", after its number
        raise MetadataError(re.sub(r'^#\w{5}', '', bytes(rest[2:]).decode(errors='replace')))
    if kind != _HANDSHAKE:
        raise MetadataError('not a MySQL or MariaDB server')


def _connect(target: Any) -> ml_metadata.MetadataStore:
    """Opens the store; retries while another process creates the tables."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            store = ml_metadata.MetadataStore(target)
            store.get_context_types()
        except RuntimeError as error:  # only the text distinguishes it from a refusal
            busy = re.search('aborted|concurrent connection', str(error))
            if not busy or attempt == _ATTEMPTS:
                raise
            time.sleep(random.uniform(0.1, 0.5))  # jitter
        else:
            return store
    raise AssertionError('the last attempt returns or raises')


def _reason(error: Exception, config: MetadataConfig) -> str:
    """Formats an error of the connection as one clause."""
    text = ' '.join(str(getattr(error, 'message', error)).split())
    text = text.rpartition('error: ')[2] or text  # the message of MySQL comes last
    match error:
        case TimeoutError() | ml_metadata.errors.DeadlineExceededError():
            return 'the server did not respond in time'
        case OSError():
            return f'cannot connect ({error.strerror})'
        case ml_metadata.errors.UnavailableError():
            return f'no gRPC server at this address ({text})'
        case ml_metadata.errors.UnimplementedError():
            return 'not an ML Metadata server'
        case RuntimeError() if 'mysql_real_connect failed' in text:  # without a reason
            return (
                f'the server rejects the user or the password in {config.password_env}, or does '
                'not use mysql_native_password for the user'
            )
    return text
