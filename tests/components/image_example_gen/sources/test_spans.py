from types import SimpleNamespace

import pytest
import yaml

from common.errors import DataError
from components.image_example_gen.sources import spans
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import every_image
from components.image_example_gen.sources.spans import open_older_spans, open_window, span_folders


@pytest.fixture
def make_spans(tmp_path):
    """`make_spans(1, 2)` makes a folder with these spans, one empty file per class in each."""

    def make(*numbers, classes=('cats', 'dogs')):
        for number in numbers:
            name = number if isinstance(number, str) else f'span-{number}'
            for class_name in classes:
                folder = tmp_path / 'pets' / name / class_name
                folder.mkdir(parents=True, exist_ok=True)
                (folder / '1.jpg').touch()
        return tmp_path / 'pets'

    return make


def window(path, size, **keys):
    return open_window(DataConfig(source='folder', path=path, window=size, **keys))


def ranged(path, span_range):
    """Numbers of the selected spans, for a range in YAML."""
    config = DataConfig(source='folder', path=path, span_range=yaml.safe_load(span_range))
    return [span.number for span in open_window(config)]


def labels_of(span):
    return {getattr(image, 'label', None) for image in every_image(span.source)}


def test_spans_are_ordered_by_number_or_date(make_spans):
    path = make_spans(10, 9, '2026-11-21', '20261103', 'span-2025-12-31', 'span-20260101')

    assert list(span_folders(path)) == [9, 10, 20251231, 20260101, 20261103, 20261121]


@pytest.mark.parametrize('name', ['incoming', 'span-x', '20261399', '2026-1121', '7'])
def test_folders_next_to_spans_must_not_contain_images(make_spans, name):
    path = make_spans(1, 'span-8.partial', '.span-8', '_more', '__MACOSX')  # ignored
    (path / name).mkdir()
    assert [span.number for span in window(path, 2)] == [1]

    make_spans(name)
    with pytest.raises(DataError, match=f'images in {name}, which is not a span; move them'):
        window(path, 1)


@pytest.mark.parametrize('names', [('span-007', 'span-7'), ('2026-11-21', 'span-20261121')])
def test_rejects_duplicate_span_numbers(make_spans, names):
    message = f'{names[0]} and .*{names[1]} are the same span; remove one'
    with pytest.raises(DataError, match=message):
        span_folders(make_spans(*names))


@pytest.mark.parametrize(
    ('names', 'size', 'expected'),
    [((2, 9, 10), 2, [9, 10]), ((2, 9, 10), 5, [2, 9, 10]), (('.',), 3, [1])],
)
def test_window_has_newest_spans_oldest_first(make_spans, names, size, expected):
    selected = window(make_spans(*names), size)

    assert [span.number for span in selected] == expected
    assert [span.source.count for span in selected] == [2] * len(expected)


def test_spans_share_the_combined_classes(make_spans):
    path = make_spans(1, classes=('cats', 'Ku\u0308he'))  # as macOS writes it
    make_spans(2, classes=('cats', 'K\u00fche'))
    make_spans(3, classes=('ants',))

    selected = window(path, 3)

    assert {span.source.classes for span in selected} == {('K\u00fche', 'ants', 'cats')}
    assert [labels_of(span) for span in selected] == [{0, 2}, {0, 2}, {1}]


def test_class_needs_images_in_one_span(make_spans):
    path = make_spans(1, 2)
    (path / 'span-2' / 'wolves').mkdir()

    with pytest.raises(DataError, match=r"^class 'wolves' has no images in the spans in .*pets"):
        window(path, 2)
    make_spans(1, classes=('wolves',))
    assert window(path, 2)[1].source.classes == ('cats', 'dogs', 'wolves')


def test_listed_classes_apply_to_every_span(make_spans):
    path = make_spans(1, classes=('dogs', 'wolves'))
    make_spans(2, classes=('cats',))

    selected = window(path, 2, classes=('dogs', 'cats'))

    assert {span.source.classes for span in selected} == {('dogs', 'cats')}
    assert [labels_of(span) for span in selected] == [{0, None}, {1}]


def test_rejects_parquet_spans_with_different_classes(make_spans, monkeypatch):
    classes = {'span-1': ('cats', 'wolves'), 'span-2': ('cats', 'dogs'), 'span-3': ('cats', 'dogs')}
    sources = {name: SimpleNamespace(classes=found) for name, found in classes.items()}
    monkeypatch.setattr(spans, 'make_source', lambda config: sources[config.path.name])
    keys = {'source': 'parquet', 'path': make_spans(1, 2, 3)}

    assert [span.number for span in open_window(DataConfig(window=2, **keys))] == [2, 3]
    with pytest.raises(DataError, match='span 2 has the classes cats, dogs and span 1 has cats, w'):
        open_window(DataConfig(window=3, **keys))


@pytest.mark.parametrize(
    ('span_range', 'expected'),
    [
        ('[9, 11]', [9, 10, 11]),
        ('[11, 99]', [11, 12]),
        ('[2, 2]', [2]),
        ('[2026-11-03, 2026-11-20]', [20261103, 20261119]),
        ('[20261103, "2026-11-20"]', [20261103, 20261119]),
    ],
)
def test_range_selects_spans_by_number_or_date(make_spans, span_range, expected):
    dates = ('2026-11-21', '20261103', '2026-11-19', '20261102')

    assert ranged(make_spans(*range(1, 13), *dates), span_range) == expected


@pytest.mark.parametrize(
    ('names', 'existing'), [((1, 2, 12), 'its spans are 1, 2, 12'), (('.',), 'it has no spans')]
)
def test_rejects_range_without_spans(make_spans, names, existing):
    message = rf'pets has none of the spans 3 to 9 of data\.span_range; {existing}$'
    with pytest.raises(DataError, match=message):
        ranged(make_spans(*names), '[3, 9]')


@pytest.mark.parametrize(
    ('least', 'expected'),
    # a fifth of the two images of a span is rounded to 0, a fifth of six to 1
    [(1, []), (2, [3]), (3, [2, 3]), (99, [1, 2, 3])],
)
def test_older_spans_are_opened_for_their_test_images(make_spans, least, expected):
    path = make_spans(1, 2, 3, 4, classes=('ants', 'bees', 'cats', 'dogs', 'elks', 'foxes'))
    config = DataConfig(source='folder', path=path, window=1, min_test_images=least)

    older = open_older_spans(config, open_window(config))

    assert [span.number for span in older] == expected


def test_older_spans_have_the_classes_of_the_window(make_spans):
    path = make_spans(2, classes=('cats', 'dogs'))
    make_spans(1, classes=('cats', 'wolves'))
    config = DataConfig(source='folder', path=path, window=1, min_test_images=99)

    (older,) = open_older_spans(config, open_window(config))

    assert older.source.classes == ('cats', 'dogs')
    assert labels_of(older) == {0, None}
