"""Connects to ML Metadata. Imports no TFX, so that commands that read it start in a second."""

import contextlib
import os
import socket
import sqlite3
from pathlib import Path
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2

from common.errors import ConfigError, MetadataDamaged, MetadataError, PipelineError
from pipeline.config.metadata_config import SQLITE, MetadataConfig, parse_address

SQLITE_FILE = 'metadata.sqlite'  # in the folder of the runs
_MYSQL_TIMEOUT = 10.0  # seconds until a MySQL server greets; ml_metadata has no timeout for it
_GRPC_TIMEOUT = 30.0  # seconds for each call; the default of ml_metadata is no timeout
_LOCK_SECONDS = 30.0  # for an SQLite file that another process has locked
_REMEDY = 'restore a backup, or move the file away to start without the history of earlier runs'


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
        MetadataError: the file cannot be used, or the server refuses the connection or does not
            respond within half a minute.
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
    return _connect(config, home)


def existing_store(config: MetadataConfig, home: Path) -> MetadataStore | None:
    """Connects to ML Metadata to read it; None if the SQLite file does not exist."""
    if config.address == SQLITE and not (home / SQLITE_FILE).exists():
        return None
    return _connect(config, home)


def _connect(config: MetadataConfig, home: Path) -> MetadataStore:
    target = connection_config(config, home)
    where = home / SQLITE_FILE if config.address == SQLITE else config.address
    try:
        if config.address == SQLITE:
            _check_file(home / SQLITE_FILE)
        elif config.address.startswith('mysql:'):  # ml_metadata names no reason, and may hang
            server = (target.mysql.host, target.mysql.port)
            with socket.create_connection(server, timeout=_MYSQL_TIMEOUT) as connection:
                connection.recv(1)
        store = MetadataStore(target)
        store.get_context_types()  # a client of gRPC connects with its first call
    except PipelineError:
        raise
    except Exception as error:  # of the socket, SQLite, gRPC or ml_metadata
        reason = ' '.join(str(getattr(error, 'message', error)).split())
        if reason.endswith('error:'):  # of MySQL, which does not say why
            reason = (
                f'the server rejects the user or the password in {config.password_env}, or does '
                'not use mysql_native_password for the user'
            )
        raise MetadataError(f'the metadata in {where} cannot be used: {reason}') from error
    return store


def _check_file(file: Path) -> None:
    """Raises MetadataDamaged, in about a millisecond; ml_metadata may open a damaged file."""
    address = f'{file.absolute().as_uri()}?mode=rw'
    try:
        connection = sqlite3.connect(address, timeout=_LOCK_SECONDS, uri=True)
        with contextlib.closing(connection) as database:
            (found,) = database.execute('PRAGMA quick_check(1)').fetchone()
    except sqlite3.OperationalError:  # such as a lock, or no permission
        raise
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != 'ok':
        found = ' '.join(found.split())
        raise MetadataDamaged(f'the metadata in {file} cannot be used: {found}; {_REMEDY}')


def damaged_contents(pipeline: str, error: Exception) -> MetadataDamaged:
    """The error for metadata of a pipeline that lack something, or have it changed."""
    detail = f'their contents were changed ({type(error).__name__}: {error})'
    return MetadataDamaged(f'the metadata of {pipeline} cannot be used: {detail}; {_REMEDY}')
