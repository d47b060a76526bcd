"""The `metadata:` section of a recipe. Imports no TFX."""

from typing import Annotated, NamedTuple

from pydantic import AnyUrl, Field, TypeAdapter, UrlConstraints, ValidationError, field_validator

from common.strict_model import StrictModel, Variable

SQLITE = 'sqlite'
_PORTS = {'mysql': 3306, 'grpc': 8080}
_URL: TypeAdapter[AnyUrl] = TypeAdapter(
    Annotated[AnyUrl, UrlConstraints(allowed_schemes=[*_PORTS], host_required=True)]
)
_EXPECTED = (
    "expected 'sqlite', mysql://USER@HOST:PORT/DATABASE (with the password in an environment "
    'variable) or grpc://HOST:PORT'
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
        if address != SQLITE:
            parse_address(address)
        return address


def parse_address(address: str) -> Address:
    """Parses the address of a server; raises ValueError if it is invalid or has a password."""
    try:
        url = _URL.validate_python(address)
    except ValidationError:
        raise ValueError(_EXPECTED) from None
    database = (url.path or '').removeprefix('/') or None
    is_complete = url.scheme != 'mysql' or (url.username and database)
    if url.password or url.query or url.fragment or '/' in (database or '') or not is_complete:
        raise ValueError(_EXPECTED)
    port = url.port or _PORTS[url.scheme]
    return Address(url.scheme, url.host or '', port, url.username, database)
