import pydantic
import pytest
import yaml

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.detect import data_overrides
from components.image_example_gen.sources.open_source import make_source


def test_missing_path_is_an_error():
    with pytest.raises(DataError, match="source 'archive' needs a path: give --data PATH"):
        make_source(DataConfig(source='archive'))


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        ({'source': 'tfds'}, "source 'tfds' needs the key 'dataset'"),
        ({'path': 'pets'}, "'path' is only for source 'folder' or 'archive' or .*, not 'drawings'"),
        ({'classes': ['cat', 'dog']}, "'classes' is only for source .*, not 'drawings'"),
        ({'source': 'folder', 'url': 'http://a/b'}, "'url' of a folder must be s3://BUCKET/PREFIX"),
        ({'source': 'folder', 'url': 's3://a/*.jpg'}, 'must be s3://BUCKET/PREFIX or gs://'),
        ({'source': 'folder', 'path': 's3://a/b'}, "is a URL: set 'url' with source 'folder'"),
        ({'source': 'folder', 'path': 'a', 'url': 's3://a/b'}, "a 'path' or a 'url', not both"),
        ({'source': 'archive', 'url': 's3://a/b.zip'}, 'of an archive must begin with http:// or'),
        ({'source': 'archive', 'url': 'http://[x/'}, 'is not a valid address'),
        ({'source': 'archive', 'url': f'http://{"a" * 64}.example/'}, 'is not a valid address'),
        ({'source': 'archive', 'url': 'http://a:99999/b'}, 'is not a valid address'),
        ({'source': 'folder', 'classes': ['cat', 'a\x1b']}, 'without control characters'),
        ({'source': 'folder', 'classes': ['cat', '']}, 'must be names'),
        ({'source': 'parquet', 'url': 's3://a/b'}, "is only for source 'archive' or 'folder'"),
        ({'source': 'folder', 'dataset': 'mnist'}, "'dataset' is only for source 'tfds'"),
        ({'source': 'canonical', 'span_range': [1, 2]}, "'span_range' is only for source 'folder'"),
        ({'source': 'canonical', 'window': 2}, "cannot be combined with source 'canonical'"),
        ({'source': 'archive', 'path': 'a', 'url': 'http://a/b'}, "a 'path' or a 'url', not both"),
        ({'source': 'archive', 'url': 'ftp://a/b'}, 'must begin with http:// or https://'),
        ({'source': 'folder', 'classes': ['cat', 'cat', 'dog']}, 'two or more different names'),
        ({'source': 'folder', 'span_range': [1, 2], 'window': 2}, "combined with 'span_range'"),
        ({'source': 'folder', 'span_range': [2, 1]}, 'ends with 1, before its start 2'),
        ({'source': 'folder', 'span_range': ['x', 1]}, 'should be a valid integer'),
        ({'source': 'folder', 'span_range': [1, 2], 'test_window': 3}, 'larger than span_range'),
        ({'window': 2, 'test_window': 3}, 'test_window is 3, larger than window'),
        ({'splits': {'test_share_of_validation': 1}}, 'test_share_of_validation'),
        ({'group_by': {'folder': 1}}, "key 'group_by' is only for source .*, not 'drawings'"),
        ({'source': 'canonical', 'group_by': {'column': 'id'}}, "'group_by' is only for source"),
        ({'source': 'parquet', 'group_by': {'folder': 1}}, "'group_by.folder' is only for source"),
        ({'source': 'archive', 'group_by': {'column': 'id'}}, "'group_by.column' is only for .*'p"),
        ({'source': 'tfrecord', 'group_by': {'pattern': '(.)'}}, "needs the key 'features.filenam"),
        ({'source': 'folder', 'group_by': {}}, 'exactly one of folder, pattern and column'),
        ({'source': 'folder', 'group_by': {'folder': 1, 'pattern': '(.)'}}, 'exactly one of'),
        ({'source': 'folder', 'group_by': {'folder': 0}}, 'greater than or equal to 1'),
        ({'source': 'folder', 'group_by': {'pattern': 'a.*'}}, 'one pair of parentheses, .* has 0'),
        ({'source': 'folder', 'group_by': {'pattern': '(a'}}, 'is not a regular expression'),
    ],
)
def test_rejects_inconsistent_keys(keys, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        DataConfig(**keys)


def test_range_of_dates_survives_json():
    dates = yaml.safe_load('[2026-11-03, 2026-11-21]')
    config = DataConfig(source='folder', span_range=dates)

    assert config.span_range == (20261103, 20261121)
    assert DataConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(('source', 'expected'), [('folder', True), ('drawings', False)])
def test_some_sources_may_have_spans(source, expected):
    assert DataConfig(source=source).may_have_spans is expected


@pytest.mark.parametrize(
    ('names', 'source'),
    [
        (['data/train-00000-of-00002.parquet', 'README.md'], 'parquet'),
        (['a.PARQUET', 'logo.png'], 'parquet'),
        (['a.parquet', 'cats/._a.jpg', '.cache/cats/a.jpg'], 'parquet'),
        (['cats/a.JPG', 'cats/a.parquet'], 'folder'),
        (['train/cats/a.jpg'], 'folder'),
        (['a.jpg'], 'folder'),
        (['.a.parquet'], 'folder'),
        (['notes.txt'], 'folder'),
        (['cats/a.jpg', 'a.tfrecord'], 'folder'),
        (['train-00000-of-00002.gz', 'labels.txt'], 'tfrecord'),
        (['span-1/a.tfrecord', 'logo.png'], 'tfrecord'),
        (['Split-train/data-00000-of-00001.gz'], 'canonical'),
        (['span-1/Split-train/data_tfrecord-00000-of-00001', 'span-1/manifest.json'], 'canonical'),
    ],
)
def test_detects_source_of_folder(tmp_path, names, source):
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    assert dict(data_overrides(str(tmp_path)))['data.source'] == source


@pytest.mark.parametrize(
    ('name', 'source'),
    [
        ('pets.tfrecord', 'tfrecord'),
        ('pets.parquet', 'parquet'),
        ('pets.ZIP', 'archive'),
        ('pets.tar', 'archive'),
        ('pets.tar.gz', 'archive'),
        ('pets.tgz', 'archive'),
        ('pets.rar', 'archive'),
        ('nowhere', 'folder'),
    ],
)
def test_detects_file_by_suffix_even_if_missing(tmp_path, name, source):
    path = tmp_path / name
    missing = dict(data_overrides(str(path)))
    path.touch()

    assert missing == dict(data_overrides(str(path)))
    assert (missing['data.source'], missing['data.path']) == (source, str(path))


def recipe_with(data, **before):
    values = dict(before)
    for key, value in data_overrides(data, before.get('source')):
        values[key.removeprefix('data.')] = value
    return DataConfig(**values)


@pytest.mark.parametrize('data', ['pets', 'pets.zip', 'pets.parquet', 'http://host/pets'])
@pytest.mark.parametrize(
    'before',
    [
        {'source': 'tfds', 'dataset': 'cats_vs_dogs'},
        {'source': 'archive', 'url': 'http://host/a.zip', 'sha256': '0' * 64},
        {'source': 'folder', 'path': 'a', 'span_range': [1, 2]},
        {'source': 'tfrecord', 'path': 'a', 'features': {'image': 'x'}},
        {'source': 'parquet', 'path': 'a', 'classes': ['cat', 'dog']},
    ],
)
def test_data_option_replaces_data_of_any_recipe(before, data):
    config = recipe_with(data, **before)

    assert data == (config.url if data.startswith('http') else str(config.path))
    assert (config.source == 'archive') == (data not in ('pets', 'pets.parquet'))


@pytest.mark.parametrize(
    ('before', 'keys', 'data', 'kept'),
    [
        ('folder', {'classes': ('cat', 'dog')}, 'pets', True),
        ('folder', {'classes': ('cat', 'dog')}, 'pets.zip', True),
        ('parquet', {'classes': ('cat', 'dog')}, 'pets.parquet', True),
        ('parquet', {'classes': ('cat', 'dog')}, 'pets', False),
        ('tfrecord', {'features': {'image': 'jpeg'}}, 'b-00000-of-00002.gz', True),
        ('archive', {'sha256': '0' * 64}, 'pets.zip', True),
    ],
)
def test_data_option_keeps_keys_that_fit_the_new_source(before, keys, data, kept):
    config = recipe_with(data, source=before, path='a', **keys)

    assert (DataConfig(source=config.source, path=data, **keys) == config) is kept


@pytest.mark.parametrize('data', ['s3://pets/cats', 'gs://pets'])
def test_data_in_object_storage_is_a_folder(data):
    overrides = dict(data_overrides(data, 'archive'))
    assert (overrides['data.source'], overrides['data.url']) == ('folder', data)
    assert overrides['data.path'] is None
