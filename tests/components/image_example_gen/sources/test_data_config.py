from pathlib import Path

import pydantic
import pytest
import yaml

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.spans import make_source


def test_missing_path_is_an_error():
    with pytest.raises(DataError, match="source 'archive' needs a path: give --data PATH"):
        make_source(DataConfig(source='archive'))


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        ({'source': 'tfds'}, "source 'tfds' needs the key 'dataset'"),
        ({'path': 'pets'}, "'path' is only for source 'folder' or .*, not 'drawings'"),
        ({'source': 'folder', 'dataset': 'mnist'}, "'dataset' is only for source 'tfds'"),
        ({'source': 'folder', 'url': 'http://a/b'}, "'url' of a folder must be s3://"),
        ({'source': 'folder', 'url': 's3://a/*.jpg'}, 'must be s3:// or gs://BUCKET'),
        ({'source': 'folder', 'path': 's3://a/b'}, "is a URL: set 'url' with source 'folder' .s3"),
        ({'source': 'folder', 'path': 'a', 'url': 's3://a/b'}, "a 'path' or a 'url', not both"),
        ({'source': 'archive', 'url': 'ftp://a/b'}, 'of an archive http'),
        ({'source': 'archive', 'url': 'http://[x/'}, 'is not a valid address'),
        ({'source': 'folder', 'classes': ['cat', 'a\x1b']}, 'without control characters'),
        ({'window': 2, 'test_window': 3}, 'test_window is 3, larger than window'),
        ({'window': 0}, "should be 'all' or the number of the newest spans"),
        ({'window': True}, 'should be a number, not true or false'),
        ({'window': 'newest'}, "should be 'all' or the number"),
        ({'source': 'parquet', 'group_by': {'folder': 1}}, "'group_by.folder' is only for source"),
        ({'source': 'folder', 'group_by': {}}, 'exactly one of folder, pattern and column'),
        ({'source': 'folder', 'group_by': {'pattern': 'a.*'}}, 'one pair of parentheses, .* has 0'),
    ],
)
def test_rejects_inconsistent_keys(keys, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        DataConfig(**keys)


def test_home_is_expanded_and_digest_is_lower_case(monkeypatch):
    monkeypatch.setenv('HOME', '/home/ann')
    assert DataConfig(source='folder', path='~/photos').path == Path('/home/ann/photos')
    assert DataConfig(source='archive', sha256='AB' * 32).sha256 == 'ab' * 32


@pytest.mark.parametrize(
    ('classes', 'names'),
    [
        ('[cat, dog]', ('cat', 'dog')),
        ('{Dog: hound, Cat: cat}', ('hound', 'cat')),
        ('{0: cat, 1: dog}', ('cat', 'dog')),
        ('{true: cat, false: dog}', ('cat', 'dog')),
        ('{Cats: cat, cats: cat, dogs: dog}', ('cat', 'dog')),
    ],
)
def test_classes_are_listed_or_renamed(classes, names):
    config = DataConfig(source='folder', path='pets', classes=yaml.safe_load(classes))

    assert config.class_names == names
    assert DataConfig.model_validate_json(config.model_dump_json()) == config
