"""The `metadata:` section of a recipe. Imports no TFX."""

import re
from typing import NamedTuple

from pydantic import Field, field_validator

from common.strict_model import StrictModel, Variable

SQLITE = 'sqlite'
_PORTS = {'mysql': 3306, 'grpc': 8080}
_ADDRESS = re.compile(
    r'(?P<scheme>mysql|grpc)://(?:(?P<user>[^:@/]+)@)?(?P<host>[^:@/]+)(?::(?P<port>[0-9]{1,5}))?'
    r'(?:/(?P<database>\w+))?'
)


class Address(NamedTuple):
    """The parts of `metadata.address`."""

    scheme: str
    host: str
    port: int
    user: str | None
    database: str | None


class MetadataConfig(StrictModel):
    """The database of ML Metadata: a file on this machine, or a server."""

    address: str = Field(
        SQLITE,
        description="'sqlite' (a file in the folder of the runs), "
        'mysql://USER@HOST:PORT/DATABASE, or grpc://HOST:PORT of an ML Metadata server',
    )
    password_env: Variable = Field(
        'CATDOG_METADATA_PASSWORD', description='environment variable with the MySQL password'
    )

    @field_validator('address')
    @classmethod
    def _is_address(cls, address: str) -> str:
        check_address(address)
        return address


def check_address(address: str) -> None:
    """Raises ValueError if `metadata.address` is invalid."""
    if address != SQLITE:
        parse_address(address)


def parse_address(address: str) -> Address:
    """Parses an address; the default port is 3306 for MySQL and 8080 for gRPC.

    Raises:
        ValueError: the address is invalid, or contains a password.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        password = '; put the password in an environment variable' * ('@' in address)
        raise ValueError(
            f"expected 'sqlite', mysql://USER@HOST:PORT/DATABASE or grpc://HOST:PORT{password}"
        )
    scheme, user, database = match['scheme'], match['user'], match['database']
    if scheme == 'mysql' and not (user and database):
        raise ValueError(
            'mysql needs a user and a database, such as mysql://catdog@host:3306/metadb'
        )
    port = int(match['port'] or _PORTS[scheme])
    if not 0 < port < 2**16:
        raise ValueError(f'the port should be between 1 and {2**16 - 1}')
    return Address(scheme, match['host'], port, user, database)
