import pytest
from record_files import write_records

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import every_image
from components.image_example_gen.sources.spans import (
    open_labelled,
    open_older_spans,
    open_window,
)

SIX = ('ants', 'bees', 'cats', 'dogs', 'elks', 'foxes')


@pytest.fixture
def make_spans(make_files):
    """`make_spans(1, 2)` makes a folder with these spans, one file per class in each."""

    def make(*numbers, classes=('cats', 'dogs')):
        spans = [n if isinstance(n, str) else f'span-{n}' for n in numbers]
        return make_files({f'{span}/{name}/1.jpg': '' for span in spans for name in classes})

    return make


def config_of(path, window, **keys):
    return DataConfig(source='folder', path=path, window=window, **keys)


def window(*args, **keys):
    return open_window(config_of(*args, **keys))


def numbers(spans):
    return [span.number for span in spans]


@pytest.mark.parametrize(
    ('names', 'size', 'expected'),
    [
        ((2, 9, 10), 2, [9, 10]),
        ((2, 9, 10), 5, [2, 9, 10]),
        ((2, 9, 10), 'all', [2, 9, 10]),
        (('.',), 3, [1]),
        (('2026-11-21', 9, '20261103', 'span-2025-12-31'), 4, [9, 20251231, 20261103, 20261121]),
    ],
)
def test_window_has_newest_spans_by_number_or_date_oldest_first(make_spans, names, size, expected):
    selected = window(make_spans(*names), size)

    assert numbers(selected) == expected
    assert [span.source.count for span in selected] == [2] * len(expected)


def test_class_folders_with_names_of_dates_are_no_spans(make_files):
    classes = ('10010105', '20261121', 'cats')
    path = make_files(
        {f'{name}/{file}': '' for name in classes for file in ('1.jpg', 'more/2.jpg')}
    )

    (span,) = window(path, 1)
    assert span.source.classes == classes


@pytest.mark.parametrize('name', ['incoming', 'span-x', '20261399', '2026-1121', '7'])
def test_folders_next_to_spans_must_not_contain_images(make_spans, name):
    path = make_spans(1, 'span-8.partial', '.span-8', '_more', '__MACOSX')  # ignored
    (path / name).mkdir()
    assert numbers(window(path, 2)) == [1]

    make_spans(name)
    with pytest.raises(DataError, match=f'images in {name}, which is not a span; move them'):
        window(path, 1)


@pytest.mark.parametrize('names', [('span-007', 'span-7'), ('2026-11-21', 'span-20261121')])
def test_rejects_duplicate_span_numbers(make_spans, names):
    with pytest.raises(DataError, match=f'{names[0]} and {names[1]}, which are the same span'):
        window(make_spans(*names), 1)


def test_listed_class_without_images_is_an_error_only_beside_other_classes(make_spans):
    path = make_spans(1, 2)
    (path / 'span-2' / 'wolves').mkdir()  # a folder without images is no class
    assert window(path, 2)[1].source.classes == ('cats', 'dogs')

    (span,) = window(path, 1, classes=('cats', 'dogs', 'wolves'))
    assert span.source.classes == ('cats', 'dogs', 'wolves')
    with pytest.raises(DataError, match=r"^class 'dgos' has no images in the spans in .*pets"):
        window(path, 1, classes=('cats', 'dgos'))
    make_spans(3, classes=('cats',))
    with pytest.raises(DataError, match=r'has 1 class \(cats\); expected two or more'):
        window(path, 1, classes=('cats', 'dogs'))
    with pytest.raises(DataError, match=r'has 1 class \(cats\); expected two or more'):
        window(path, 1)


def test_notes_of_a_span_name_only_its_classes(make_files):
    first = ('train/cats', 'train/dogs', 'test/cats')
    second = ('train/cats', 'train/wolves', 'test/cats', 'test/wolves')
    names = [f'span-1/{name}' for name in first] + [f'span-2/{name}' for name in second]
    first, second = window(make_files({f'{name}/1.jpg': '' for name in names}), 2)
    assert first.source.notes == ('test has no images of 1 class (dogs)',)
    assert second.source.notes == ()


def write_span(source, folder, labels):
    """Writes an image for each label."""
    images, labels = [b'a'] * len(labels), [*labels]
    if source != 'csv':
        folder.mkdir(parents=True)
        write_records(source, folder / f'a.{source}', image=images, label=labels)
    else:
        folder.mkdir()
        for number, contents in enumerate(images):
            (folder / f'{number}.jpg').write_bytes(contents)
        rows = [f'{number}.jpg,{label}' for number, label in enumerate(labels)]
        (folder / 'a.csv').write_text('\n'.join(['path,label', *rows]))


@pytest.mark.parametrize(
    ('source', 'spans', 'classes', 'expected'),
    [
        *((source, ('ab', 'cb', 'c'), None, [[0, 1], [2, 1], [2]])
          for source in ('parquet', 'tfrecord', 'csv')),
        # numbers mean the same class in all spans
        ('parquet', ((1, 2), (1, 2, 3)), ['a', 'b', 'c'], [[0, 1], [0, 1, 2]]),
        ('parquet', ((1, 2), (0, 1)), ['a', 'b', 'c'], [[1, 2], [0, 1]]),
    ],
)  # fmt: skip
def test_spans_of_files_share_the_combined_classes(tmp_path, source, spans, classes, expected):
    for number, labels in enumerate(spans):
        write_span(source, tmp_path / f'2026-11-2{number}', labels)

    found = open_window(DataConfig(source=source, path=tmp_path, window=3, classes=classes))
    assert {span.source.classes for span in found} == {('a', 'b', 'c')}
    assert [[image.label for image in every_image(span.source)] for span in found] == expected


@pytest.mark.parametrize(
    ('least', 'expected'),
    # a fifth of the two images of a span is rounded to 0, a fifth of six to 1
    [(1, []), (2, [3]), (3, [2, 3]), (99, [1, 2, 3])],
)
def test_older_spans_are_opened_for_their_test_images(make_spans, least, expected):
    config = config_of(make_spans(1, 2, 3, 4, classes=SIX), 1, min_test_images=least)
    assert numbers(open_older_spans(config, open_window(config))) == expected


def test_older_spans_have_the_classes_of_the_window(make_spans):
    make_spans(2)
    config = config_of(make_spans(1, classes=('cats', 'wolves')), 1, min_test_images=99)

    (older,) = open_older_spans(config, open_window(config))
    assert older.source.classes == ('cats', 'dogs')
    assert [getattr(image, 'label', None) for image in every_image(older.source)] == [0, None]


def test_drawings_have_the_labels_of_the_model():
    (span,) = open_labelled(DataConfig(source='drawings', count=100), ('bird', 'dog', 'cat'))
    names = [span.source.classes[image.label] for image in every_image(span.source)]
    assert names == ['cat', 'dog'] * 50
