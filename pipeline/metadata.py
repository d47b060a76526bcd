"""Connects to ML Metadata."""

import os
from pathlib import Path
from typing import Any

import ml_metadata
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.metadata import (
    mysql_metadata_connection_config,
    sqlite_metadata_connection_config,
)

from pipeline.metadata_config import SQLITE, MetadataConfig, MetadataError, parse_address


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
        return sqlite_metadata_connection_config(str(home / 'metadata.sqlite'))
    address = parse_address(config.address)
    if address.scheme == 'grpc':
        return metadata_store_pb2.MetadataStoreClientConfig(host=address.host, port=address.port)
    password = os.environ.get(config.password_env)
    if password is None:
        raise MetadataError(
            f'the environment variable {config.password_env}, with the password of '
            f'{config.address}, is not set'
        )
    return mysql_metadata_connection_config(
        address.host, address.port, address.database or '', address.user or '', password
    )


def check_connection(config: MetadataConfig, home: Path) -> None:
    """Connects once: TFX would try many times before it says so.

    Raises:
        MetadataError: nothing answers there, or it refuses.
    """
    wanted = connection(config, home)
    try:
        ml_metadata.MetadataStore(wanted).get_context_types()
    except Exception as error:  # of grpc, or of ml_metadata's own kinds
        where = home / 'metadata.sqlite' if config.address == SQLITE else config.address
        reason = ' '.join(str(getattr(error, 'message', error)).split())
        raise MetadataError(
            f'the metadata in {where} cannot be used; is it there, and may one use it? ({reason})'
        ) from error
