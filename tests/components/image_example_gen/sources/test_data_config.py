import pydantic
import pytest
import yaml

from common.errors import DataError
from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.detect import data_overrides
from components.image_example_gen.sources.factory import make_source


@pytest.mark.parametrize('source', ['folder', 'parquet', 'archive'])
def test_a_source_without_a_path_says_how_to_give_one(source):
    with pytest.raises(DataError, match=f"source '{source}' needs to know where: give --data PATH"):
        make_source(DataConfig(source=source))


def test_a_set_of_tensorflow_datasets_needs_its_name():
    with pytest.raises(pydantic.ValidationError, match="source 'tfds' needs the key 'dataset'"):
        DataConfig(source='tfds')


def test_a_parquet_file_may_be_given_its_classes():
    config = DataConfig(source='parquet', path='pets.parquet', classes=['cat', 'dog'])

    assert config.classes == ('cat', 'dog')


@pytest.mark.parametrize(
    ('given', 'told'),
    [
        ({'path': 'pets'}, "'path' is for source 'folder' or 'archive' or .*, not 'drawings'"),
        ({'classes': ['cat', 'dog']}, "'classes' is for source .*, not 'drawings'"),
        ({'source': 'folder', 'url': 'http://a/b'}, "'url' is for source 'archive', not 'folder'"),
        ({'source': 'parquet', 'sha256': '0' * 64}, "'sha256' is for source 'archive', not 'parq"),
        ({'source': 'folder', 'dataset': 'mnist'}, "'dataset' is for source 'tfds', not 'folder'"),
        ({'source': 'folder', 'features': {'image': 'x'}}, "'features' is for source 'tfrecord'"),
        ({'source': 'archive', 'span_range': [1, 2]}, "'span_range' is for source 'folder' or"),
        ({'source': 'canonical', 'span_range': [1, 2]}, "'span_range' is for source 'folder' or"),
        ({'source': 'canonical', 'window': 2}, "'window' does not go with source 'canonical'"),
        ({'source': 'archive', 'path': 'a', 'url': 'http://a/b'}, "a 'path' or a 'url', not both"),
        ({'source': 'archive', 'url': 'ftp://a/b'}, 'must begin with http:// or https://'),
        ({'source': 'folder', 'classes': ['cat']}, 'must be two or more names, each once'),
        ({'source': 'folder', 'classes': ['cat', 'cat', 'dog']}, 'two or more names, each once'),
        ({'source': 'folder', 'span_range': [1, 2], 'window': 2}, "does not go with 'span_range'"),
        ({'source': 'folder', 'span_range': [2, 1]}, 'ends with 1, before it begins with 2'),
        ({'source': 'folder', 'span_range': ['x', 1]}, 'should be a valid integer'),
        ({'source': 'folder', 'span_range': [1, 2], 'test_window': 3}, 'more than the 2 of span_r'),
        ({'window': 2, 'test_window': 3}, 'test_window is 3, more than the 2 of window'),
    ],
)
def test_keys_that_do_not_go_together_are_told(given, told):
    with pytest.raises(pydantic.ValidationError, match=told):
        DataConfig(**given)


@pytest.mark.parametrize('source', ['folder', 'archive', 'parquet', 'tfrecord'])
def test_sources_of_files_may_be_given_their_classes(source):
    config = DataConfig(source=source, path='pets', classes=['dog', 'cat'])

    assert config.classes == ('dog', 'cat')


def test_features_as_they_are_anyway_go_with_every_source():
    assert DataConfig(features={}) == DataConfig()


@pytest.mark.parametrize(
    ('given', 'several'),
    [
        ({}, False),
        ({'window': 2}, True),
        ({'source': 'folder', 'span_range': [3, 3]}, False),
        ({'source': 'folder', 'span_range': [3, 9]}, True),
    ],
)
def test_a_model_may_be_trained_on_several_spans_or_not(given, several):
    assert DataConfig(**given).several_spans is several


def test_a_range_of_dates_survives_json():
    dates = yaml.safe_load('[2026-11-03, 2026-11-21]')
    config = DataConfig(source='folder', span_range=dates)

    assert config.span_range == (20261103, 20261121)
    assert DataConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize('share', [0, 1, -0.1])
def test_test_gets_some_of_validation_and_not_all(share):
    with pytest.raises(pydantic.ValidationError, match='test_of_validation'):
        DataConfig(splits={'test_of_validation': share})


@pytest.fixture
def source_of(tmp_path):
    """The source that `--data` chooses for a folder that holds some files."""

    def choose(*names: str) -> str:
        for name in names:
            path = tmp_path / 'pets' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return dict(data_overrides(str(tmp_path / 'pets')))['data.source']

    return choose


@pytest.mark.parametrize(
    'names',
    [
        ['a.parquet'],
        ['data/train-00000-of-00002.parquet', 'README.md'],
        ['a.PARQUET', 'logo.png'],
        ['a.parquet', 'cats/._a.jpg', '.cache/cats/a.jpg'],
    ],
)
def test_a_folder_with_parquet_files_is_read_as_such(source_of, names):
    assert source_of(*names) == 'parquet'


@pytest.mark.parametrize(
    'names',
    [
        ['cats/a.jpg', 'dogs/b.jpg'],
        ['train/cats/a.jpg'],
        ['a.parquet', 'cats/a.jpg'],
        ['cats/a.JPG', 'cats/a.parquet'],
        ['a.jpg'],
        ['.a.parquet'],
        ['notes.txt'],
    ],
)
def test_any_other_folder_is_one_of_class_folders(source_of, names):
    assert source_of(*names) == 'folder'


@pytest.mark.parametrize(
    ('names', 'source'),
    [
        (['train-00000-of-00002.gz', 'labels.txt'], 'tfrecord'),
        (['span-1/a.tfrecord', 'logo.png'], 'tfrecord'),
        (['cats/a.jpg', 'a.tfrecord'], 'folder'),
        (['Split-train/data-00000-of-00001.gz'], 'canonical'),
        (['span-1/Split-train/data_tfrecord-00000-of-00001', 'span-1/manifest.json'], 'canonical'),
    ],
)
def test_a_folder_with_records_is_read_as_such(source_of, names, source):
    assert source_of(*names) == source


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
@pytest.mark.parametrize('exists', [True, False])
def test_a_file_is_known_by_its_suffix_whether_it_exists_or_not(tmp_path, name, source, exists):
    if exists:
        (tmp_path / name).touch()

    overrides = dict(data_overrides(str(tmp_path / name)))

    assert overrides['data.source'] == source
    assert overrides['data.path'] == str(tmp_path / name)


def recipe_with(data, **before):
    values = dict(before)
    for key, value in data_overrides(data, before.get('source')):
        values[key.removeprefix('data.')] = value
    return DataConfig(**values)


def test_an_address_is_an_archive():
    config = recipe_with('https://host/pets.zip?key=1', source='folder', path='pets')

    assert (config.source, config.url, config.path) == (
        'archive',
        'https://host/pets.zip?key=1',
        None,
    )


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
def test_other_images_go_with_every_recipe(before, data):
    assert data in (str(recipe_with(data, **before).path), recipe_with(data, **before).url)


@pytest.mark.parametrize(
    ('before', 'data', 'kept'),
    [
        ('folder', 'pets', True),
        ('folder', 'pets.zip', True),
        ('parquet', 'pets.parquet', True),
        ('parquet', 'pets', False),
    ],
)
def test_the_classes_of_a_recipe_stay_unless_folders_name_them_now(before, data, kept):
    config = recipe_with(data, source=before, path='a', classes=['cat', 'dog'])

    assert (config.classes is not None) is kept


@pytest.mark.parametrize('data', ['b.tfrecord', 'b-00000-of-00002.gz', 'folder'])
def test_other_records_keep_the_features_and_classes_of_a_recipe(tmp_path, data):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'folder' / 'c.tfrecord').touch()
    before = {'path': 'a', 'features': {'image': 'jpeg'}, 'classes': ['cat', 'dog']}

    config = recipe_with(str(tmp_path / data), source='tfrecord', **before)

    assert (config.source, config.path) == ('tfrecord', tmp_path / data)
    assert (config.features.image, config.classes) == ('jpeg', ('cat', 'dog'))


def test_canonical_records_keep_the_classes_of_a_recipe(tmp_path):
    (tmp_path / 'Split-train').mkdir()

    config = recipe_with(str(tmp_path), source='canonical', path='a', classes=['cat', 'dog'])

    assert (config.source, config.classes) == ('canonical', ('cat', 'dog'))


def test_a_digest_stays_for_another_copy_of_the_archive():
    config = recipe_with('pets.zip', source='archive', url='http://a/b', sha256='0' * 64)

    assert (config.sha256, config.url) == ('0' * 64, None)
