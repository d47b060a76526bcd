from pathlib import Path

import pydantic
import pytest

from components.sources.base import DataError
from components.sources.config import DataConfig, data_overrides
from components.sources.factory import make_source


@pytest.mark.parametrize('source', ['folder', 'parquet'])
def test_a_source_without_a_path_says_how_to_give_one(source):
    with pytest.raises(DataError, match=f"source '{source}' needs to know where: give --data PATH"):
        make_source(DataConfig(source=source))


def test_a_set_of_tensorflow_datasets_needs_its_name():
    with pytest.raises(pydantic.ValidationError, match="source 'tfds' needs the key 'dataset'"):
        DataConfig(source='tfds')


def test_a_parquet_file_may_be_given_its_classes():
    config = DataConfig(source='parquet', path='pets.parquet', classes=['cat', 'dog'])

    assert config.classes == ('cat', 'dog')


def test_other_sources_name_their_classes_themselves():
    with pytest.raises(ValueError, match="'classes' is for source 'parquet', not 'folder'"):
        DataConfig(source='folder', path='pets', classes=['cat', 'dog'])


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
        return dict(data_overrides(tmp_path / 'pets'))['data.source']

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
    ('name', 'source'),
    [('pets.parquet', 'parquet'), ('pets.zip', 'folder'), ('nowhere', 'folder')],
)
@pytest.mark.parametrize('exists', [True, False])
def test_a_file_is_known_by_its_suffix_whether_it_exists_or_not(tmp_path, name, source, exists):
    if exists:
        (tmp_path / name).touch()

    overrides = dict(data_overrides(tmp_path / name))

    assert overrides['data.source'] == source
    assert overrides['data.path'] == str(tmp_path / name)


def test_only_a_folder_drops_the_classes_of_a_recipe():
    assert dict(data_overrides(Path('nowhere')))['data.classes'] is None
    assert 'data.classes' not in dict(data_overrides(Path('pets.parquet')))
