"""Connects to ML Metadata. Imports no TFX: a look at the history takes a second that way."""

import os
from pathlib import Path
from typing import Any

import ml_metadata
from ml_metadata.proto import metadata_store_pb2

from pipeline.metadata_config import SQLITE, MetadataConfig, MetadataError, parse_address

SQLITE_FILE = 'metadata.sqlite'  # in the folder of the runs


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
        source = metadata_store_pb2.SqliteMetadataSourceConfig(
            filename_uri=str(home / SQLITE_FILE),
            connection_mode=metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE,
        )
        return metadata_store_pb2.ConnectionConfig(sqlite=source)
    address = parse_address(config.address)
    if address.scheme == 'grpc':
        return metadata_store_pb2.MetadataStoreClientConfig(host=address.host, port=address.port)
    password = os.environ.get(config.password_env)
    if password is None:
        raise MetadataError(
            f'the environment variable {config.password_env}, with the password of '
            f'{config.address}, is not set'
        )
    server = metadata_store_pb2.MySQLDatabaseConfig(
        host=address.host, port=address.port, database=address.database or '',
        user=address.user or '', password=password,
    )  # fmt: skip
    return metadata_store_pb2.ConnectionConfig(mysql=server)


def check_connection(config: MetadataConfig, home: Path) -> None:
    """Connects once: TFX would try many times before it says so.

    Raises:
        MetadataError: nothing answers there, or it refuses.
    """
    open_store(config, home)


def open_store(config: MetadataConfig, home: Path) -> ml_metadata.MetadataStore:
    """The store itself, which has answered once.

    Raises:
        MetadataError: nothing answers there, or it refuses.
    """
    wanted = connection(config, home)
    try:
        store = ml_metadata.MetadataStore(wanted)
        store.get_context_types()
    except Exception as error:  # of grpc, or of ml_metadata's own kinds
        where = home / SQLITE_FILE if config.address == SQLITE else config.address
        reason = ' '.join(str(getattr(error, 'message', error)).split())
        raise MetadataError(
            f'the metadata in {where} cannot be used; is it there, and may one use it? ({reason})'
        ) from error
    return store


def existing_store(config: MetadataConfig, home: Path) -> ml_metadata.MetadataStore | None:
    """The store, for somebody who only looks: no file is made where there is none.

    Raises:
        MetadataError: nothing answers there, or it refuses.
    """
    if config.address == SQLITE and not (home / SQLITE_FILE).exists():
        return None
    return open_store(config, home)
