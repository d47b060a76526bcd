import pytest
from pydantic import ValidationError

from pipeline.config.metadata_config import Address, MetadataConfig, parse_address


@pytest.mark.parametrize(
    ('text', 'address'),
    [
        ('mysql://me@db.example:3307/metadb', ('mysql', 'db.example', 3307, 'me', 'metadb')),
        ('mysql://me@10.0.0.7/metadb', ('mysql', '10.0.0.7', 3306, 'me', 'metadb')),
        ('grpc://metadata:9000', ('grpc', 'metadata', 9000, None, None)),
        ('grpc://metadata.ml', ('grpc', 'metadata.ml', 8080, None, None)),
    ],
)
def test_parses_address_with_default_port(text, address):
    assert parse_address(text) == Address(*address)
    assert MetadataConfig(address=text).address == text


@pytest.mark.parametrize(
    'address',
    [
        '',
        'metadata.sqlite',
        'https://host',
        'grpc://host:99999',
        'mysql://me@host:3306/db/more',
        'mysql://host/metadb',  # no user
        'mysql://me@host:3306',  # no database
        'mysql://me:word@host/metadb',
    ],
)
def test_invalid_address_lists_valid_forms(address):
    with pytest.raises(ValidationError, match=r"expected 'sqlite', mysql://USER@HOST:PORT/DATA"):
        MetadataConfig(address=address)
