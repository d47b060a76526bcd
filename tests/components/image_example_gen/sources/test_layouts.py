"""Layouts: classes in file names, parts, CSV files; their detection, and spans of them."""

import pytest

from common.errors import DataError, TooFewImages
from components.image_example_gen.inspection.limited_process import Limits
from components.image_example_gen.sources.base import file_names
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.file_names import CLASS_AND_NUMBER, pattern_of_names
from components.image_example_gen.sources.base.groups import GroupConfig
from components.image_example_gen.sources.base.source_protocol import BadImage, every_image
from components.image_example_gen.sources.csv_file import CsvSource
from components.image_example_gen.sources.detect import data_overrides, detect
from components.image_example_gen.sources.folder import FolderSource
from components.image_example_gen.sources.open_source import make_source
from components.image_example_gen.sources.spans import incomplete_span, open_window

FLAT = tuple(f'{name}.{number}.jpg' for name in ('cat', 'dog') for number in range(2))
CSV = 'path,label\nimages/1.jpg,cat\nimages/2.jpg,dog\n'


@pytest.fixture
def make(tmp_path):
    """`make('a.jpg', ..., csv=TEXT)` makes files with their names as contents, and labels.csv."""

    def make_folder(*names, csv=None, below=''):
        for name in names:
            (tmp_path / below / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / below / name).write_text(name)
        if csv is not None:
            (tmp_path / below / 'labels.csv').write_text(csv)
        return tmp_path

    return make_folder


def classes_of(source):
    return {
        each.filename: None if isinstance(each, BadImage) else source.classes[each.label]
        for each in every_image(source)
    }


def configure(data, **keys):
    found = {key.removeprefix('data.'): value for key, value in data_overrides(str(data))}
    return DataConfig.model_validate(found | keys)


def test_pattern_finds_the_class_in_the_name_of_a_file(make):
    folder = make(*FLAT, 'more/cat.7.jpg', 'readme.jpg')
    source = FolderSource(folder, label_pattern=r'^(cat|dog)\.')

    assert classes_of(source) == {
        **{name: name[:3] for name in FLAT},
        'more/cat.7.jpg': 'cat',
        'readme.jpg': None,
    }
    (bad,) = (each for each in every_image(source) if isinstance(each, BadImage))
    assert bad.reason == 'label outside the list'
    assert bad.detail == 'its name does not match data.label_pattern'


def test_parts_may_have_classes_in_names(make):
    folder = make(*(f'{part}/{name}' for part in ('train', 'test') for name in FLAT), 'cat.9.jpg')
    source = FolderSource(folder, label_pattern='^(.+?)[.]', group_by=GroupConfig(folder=1))

    parts = {image.part for image in every_image(source) if not isinstance(image, BadImage)}
    assert parts == {'train_and_eval', 'test'}
    assert [name for name, label in classes_of(source).items() if label is None] == ['cat.9.jpg']


def test_pattern_is_part_of_the_fingerprint(make):
    folder = make(*FLAT)
    configs = [
        DataConfig(source='folder', path=folder, label_pattern=pattern)
        for pattern in ('^(cat|dog)', '^(c|d)', '^(cat|dog)')
    ]
    first, other, again = (make_source(config).fingerprint for config in configs)

    assert first == again != other


def test_pattern_that_matches_no_name_is_an_error(make):
    message = (
        r'has 4 images, none with a name that data\.label_pattern \^\(x\) matches, such as cat\.0'
    )
    with pytest.raises(DataError, match=message):
        FolderSource(make(*FLAT), label_pattern='^(x)')


def test_pattern_that_takes_exponential_time_is_an_error(make, monkeypatch):
    monkeypatch.setattr(file_names, '_LIMITS', Limits(1))
    folder = make('a' * 60 + '.jpg', *FLAT)
    message = r'label_pattern: .* cannot be matched with 5 file names: it takes longer than 1 s; si'
    with pytest.raises(DataError, match=message):
        FolderSource(folder, label_pattern='^((?:a|a)+)$')


def test_pattern_of_groups_that_takes_exponential_time_is_an_error(make, monkeypatch):
    monkeypatch.setattr(file_names, '_LIMITS', Limits(1))
    names = [f'{name}/{"a" * 60}.jpg' for name in ('cats', 'dogs')]
    folder = make(*names, csv=f'path,label\n{names[0]},cat\n{names[1]},dog\n')
    group_by = GroupConfig(pattern='^((?:a|a)+)$')
    for source in (FolderSource, CsvSource):
        with pytest.raises(DataError, match=r'group_by\.pattern: .* longer than 1 s; simplify'):
            source(folder, group_by=group_by)


@pytest.mark.parametrize('pattern', ['cat', '(a)(b)', '(', 'x' * 1001])
def test_pattern_needs_one_pair_of_parentheses(pattern):
    with pytest.raises(ValueError, match=r'parentheses|regular expression|at most 1000'):
        DataConfig(source='folder', label_pattern=pattern)


def test_pattern_is_only_for_folders_and_archives():
    with pytest.raises(ValueError, match="'label_pattern' is only for source 'folder'"):
        DataConfig(source='csv', label_pattern='(a)')


@pytest.mark.parametrize(
    ('names', 'classes'),
    [
        (['cat.0.jpg', 'cat.1.jpg', 'dog.0.jpg', 'dog.12500.jpg'], {'cat', 'dog'}),
        (['golden_retriever_1.JPG', 'golden_retriever_2.jpg', 'Pug_1.png', 'Pug_2.png'], None),
        (['cat (1).jpg', 'cat (2).jpg', 'dog-1.jpg', 'dog-02.jpg'], {'cat', 'dog'}),
        (['IMG_1.jpg', 'IMG_2.jpg', 'DSC_1.jpg', 'DSC_2.jpg'], ()),
        (['cat.1.jpg', 'cat.2.jpg', 'dog.1.jpg'], ()),
        (['cat.1.jpg', 'cat.2.jpg'], ()),
        (['cat.1.jpg', 'cat.2.jpg', 'dog.1.jpg', 'dog.2.jpg', 'notes.jpg'], ()),
        (['2026-11-01 1.jpg', '2026-11-01 2.jpg', '2026-11-02 1.jpg', '2026-11-02 2.jpg'], ()),
        ([], ()),
    ],
)
def test_recognises_names_of_class_and_number(names, classes):
    expected = None if classes == () else CLASS_AND_NUMBER
    assert pattern_of_names(names) == expected


@pytest.mark.parametrize(
    ('names', 'source', 'layout'),
    [
        (FLAT, 'folder', 'images named CLASS and number, 2 classes (cat, dog)'),
        (
            [f'{p}/{n}' for p in ('test', 'train') for n in FLAT],
            'folder',
            'test, train with images',
        ),
        (
            [f'span-{n}/{name}' for n in (1, 2) for name in FLAT],
            'folder',
            'spans with images named',
        ),
        (('cats/cat.1.jpg', 'dogs/dog.1.jpg'), 'folder', 'a folder per class'),
        (('train/cats/1.jpg', 'val/cats/1.jpg'), 'folder', 'train, val with a folder per class in'),
        (('images/1.jpg', 'images/2.jpg'), 'csv', 'labels.csv: images from column path, classes f'),
        (('train/1.jpg', 'test/2.jpg'), 'csv', 'labels.csv: images from column path'),
        ((), 'csv', 'labels.csv: images from column path, classes from column label'),
        ((*FLAT, 'more/1.jpg'), 'csv', 'labels.csv'),
    ],
)
def test_detects_layout_of_a_folder(make, names, source, layout):
    folder = make(*names, csv=CSV)
    found = detect(str(folder))

    assert (found.source, found.layout[: len(layout)]) == (source, layout)
    assert (found.label_pattern is not None) == ('named CLASS' in found.layout)
    assert configure(folder).source == source


def test_csv_file_is_detected_by_its_suffix_even_if_missing(make):
    folder = make(csv=CSV)
    assert detect(str(folder / 'labels.csv')).layout.startswith('images from column')
    assert detect(str(folder / 'nowhere.csv')).source == 'csv'


@pytest.mark.parametrize('test', ['test', 'test1'])
def test_unlabelled_images_next_to_train_are_no_class(make, test):
    folder = make(*(f'train/{name}' for name in FLAT), f'{test}/1.jpg', f'{test}/2.jpg')

    message = f'into {test}, train, which have no .*; the file names of train have classes: give t'
    with pytest.raises(DataError, match=message):
        make_source(configure(folder))
    assert make_source(configure(folder / 'train')).classes == ('cat', 'dog')


@pytest.mark.parametrize(
    ('train', 'test'), [('train2017', 'val2017'), ('Training_Set', 'validate'), ('train 1', 'dev')]
)
def test_recognises_usual_names_of_parts(make, train, test):
    folder = make(*(f'{part}/{name}/1.jpg' for part in (train, test) for name in ('cat', 'dog')))
    source = make_source(configure(folder))

    assert source.classes == ('cat', 'dog')
    assert {image.part for image in every_image(source)} == {'train', 'eval_and_test'}


def test_part_of_a_span_may_arrive_later(make):
    folder = make(
        *(f'span-1/{part}/{name}/1.jpg' for part in ('train', 'test') for name in ('cat', 'dog')),
        *(f'span-2/train/{name}/1.jpg' for name in ('cat', 'dog')),
    )
    config = configure(folder)

    with pytest.raises(TooFewImages, match=r'span-2 is divided into train; expected only train, '):
        open_window(config)
    assert incomplete_span(config) == 2


def test_data_option_keeps_a_pattern_of_the_recipe(make):
    folder = str(make(*FLAT))

    assert 'data.label_pattern' not in dict(data_overrides(folder, 'folder', '^(c|d)'))
    assert dict(data_overrides(folder, 'folder'))['data.label_pattern'] == CLASS_AND_NUMBER
    assert dict(data_overrides('pets.csv', 'folder', '^(c|d)'))['data.label_pattern'] is None


def test_spans_may_have_classes_in_names(make):
    folder = make(*(f'span-1/{name}' for name in FLAT), 'span-2/bird.1.jpg', 'span-2/bird.2.jpg')
    config = DataConfig(source='folder', path=folder, window=2, label_pattern='^(.+?)[.]')

    spans = open_window(config)
    assert [span.number for span in spans] == [1, 2]
    assert {span.source.classes for span in spans} == {('bird', 'cat', 'dog')}


def test_spans_may_be_divided_or_csv_files(make):
    parts = [f'span-1/{part}/{name}/1.jpg' for part in ('train', 'test') for name in ('cat', 'dog')]
    divided = open_window(configure(make(*parts, below='divided') / 'divided'))
    assert {image.part for image in every_image(divided[0].source)} == {'train_and_eval', 'test'}

    for number, label in enumerate(('cat', 'dog'), 1):
        make('a.jpg', csv=f'path,label\na.jpg,{label}\n', below=f'tables/span-{number}')
    config = configure(make() / 'tables', window=2)
    spans = open_window(config)
    assert config.source == 'csv'
    assert [span.source.classes for span in spans] == [('cat', 'dog')] * 2
    assert [image.label for span in spans for image in every_image(span.source)] == [0, 1]
