import pytest
from pydantic import ValidationError

from pipeline.config.metadata_config import Address, MetadataConfig, parse_address


def test_metadata_is_in_a_file_unless_the_recipe_says_otherwise():
    assert MetadataConfig().address == 'sqlite'


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
def test_an_address_is_taken_apart_and_has_a_usual_port(text, address):
    assert parse_address(text) == address
    assert MetadataConfig(address=text).address == text


@pytest.mark.parametrize(
    'address',
    [
        '',
        'SQLITE',
        'metadata.sqlite',
        'postgres://u@host/db',
        'mysql:/u@host/db',
        'grpc://',
        'grpc://host:port',
        'mysql://u@host:3306/db/more',
        'https://host',
    ],
)
def test_what_is_no_address_shows_the_forms(address):
    with pytest.raises(ValidationError, match=r"expected 'sqlite', mysql://USER@HOST:PORT/DATA"):
        MetadataConfig(address=address)


@pytest.mark.parametrize('address', ['mysql://host/metadb', 'mysql://catdog@host:3306'])
def test_mysql_needs_a_user_and_a_database(address):
    with pytest.raises(ValidationError, match='mysql needs a user and a database'):
        MetadataConfig(address=address)


def test_a_password_in_the_address_is_refused_with_the_place_for_it():
    with pytest.raises(ValidationError, match='a password stands in an environment variable'):
        MetadataConfig(address='mysql://catdog:word@host/metadb')
