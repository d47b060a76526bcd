import pytest
from pydantic import ValidationError

from pipeline.config.metadata_config import Address, MetadataConfig, parse_address


@pytest.mark.parametrize(
    ('text', 'address'),
    [
        (
            'mysql://catdog@db.example:3307/metadb',
            Address('mysql', 'db.example', 3307, 'catdog', 'metadb'),
        ),
        ('mysql://catdog@10.0.0.7/metadb', Address('mysql', '10.0.0.7', 3306, 'catdog', 'metadb')),
        ('grpc://metadata:9000', Address('grpc', 'metadata', 9000, None, None)),
        ('grpc://metadata.ml', Address('grpc', 'metadata.ml', 8080, None, None)),
    ],
)
def test_parses_address_with_default_port(text, address):
    assert parse_address(text) == address
    assert MetadataConfig(address=text).address == text


@pytest.mark.parametrize(
    'address',
    [
        '',
        'grpc://host:99999',
        'metadata.sqlite',
        'postgres://u@host/db',
        'mysql:/u@host/db',
        'grpc://host:port',
        'mysql://u@host:3306/db/more',
        'https://host',
    ],
)
def test_invalid_address_lists_valid_forms(address):
    with pytest.raises(ValidationError, match=r"expected 'sqlite', mysql://USER@HOST:PORT/DATA"):
        MetadataConfig(address=address)


@pytest.mark.parametrize('address', ['mysql://host/metadb', 'mysql://catdog@host:3306'])
def test_mysql_requires_user_and_database(address):
    with pytest.raises(ValidationError, match='mysql needs a user and a database'):
        MetadataConfig(address=address)


def test_rejects_password_in_address():
    with pytest.raises(ValidationError, match='put the password in an environment variable'):
        MetadataConfig(address='mysql://catdog:word@host/metadb')
