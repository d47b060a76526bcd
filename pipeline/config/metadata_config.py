"""Where ML Metadata is kept: the `metadata:` part of a recipe. Imports no TFX."""

import re
from typing import NamedTuple

from pydantic import Field, field_validator

from common.strict_model import StrictModel

SQLITE = 'sqlite'
_PORTS = {'mysql': 3306, 'grpc': 8080}
_ADDRESS = re.compile(
    r'(?P<scheme>mysql|grpc)://(?:(?P<user>[^:@/]+)@)?(?P<host>[^:@/]+)(?::(?P<port>\d+))?'
    r'(?:/(?P<database>\w+))?'
)


class Address(NamedTuple):
    """A server, as `metadata.address` names it."""

    scheme: str
    host: str
    port: int
    user: str | None
    database: str | None


class MetadataConfig(StrictModel):
    """A file on this machine, or a server that all machines reach."""

    address: str = Field(
        SQLITE,
        description="'sqlite' (a file in the folder of the runs), "
        'mysql://USER@HOST:PORT/DATABASE, or grpc://HOST:PORT of an ML Metadata server',
    )
    password_env: str = Field(
        'CATDOG_METADATA_PASSWORD', description="the environment variable with MySQL's password"
    )

    @field_validator('address')
    @classmethod
    def _can_be_read(cls, address: str) -> str:
        if address != SQLITE:
            parse_address(address)
        return address


def parse_address(address: str) -> Address:
    """Takes an address apart; ports are 3306 and 8080 where none is given.

    Raises:
        ValueError: it is none, or holds a password.
    """
    match = _ADDRESS.fullmatch(address)
    if match is None:
        password = '; a password stands in an environment variable, not here' * ('@' in address)
        raise ValueError(
            f"expected 'sqlite', mysql://USER@HOST:PORT/DATABASE or grpc://HOST:PORT{password}"
        )
    scheme, user, database = match['scheme'], match['user'], match['database']
    if scheme == 'mysql' and not (user and database):
        raise ValueError('mysql needs a user and a database, as in mysql://catdog@host:3306/metadb')
    return Address(scheme, match['host'], int(match['port'] or _PORTS[scheme]), user, database)
