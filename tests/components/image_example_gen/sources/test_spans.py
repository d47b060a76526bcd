from types import SimpleNamespace

import pytest
import yaml

from common.errors import DataError
from components.image_example_gen.sources import spans
from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.base.source_protocol import every_image
from components.image_example_gen.sources.spans import open_window, span_folders


@pytest.fixture
def make_spans(tmp_path, make_image_folder):
    """`make_spans(1, 2)` makes a folder with these spans, three images per class in each."""

    def make(*numbers, classes=('cats', 'dogs'), per_class=3):
        for number in numbers:
            name = number if isinstance(number, str) else f'span-{number}'
            make_image_folder(tmp_path / 'pets' / name, per_class, classes)
        return tmp_path / 'pets'

    return make


def window(path, size):
    return open_window(DataConfig(source='folder', path=path, window=size))


def ranged(path, span_range):
    """Numbers of the selected spans, for a range in YAML."""
    config = DataConfig(source='folder', path=path, span_range=yaml.safe_load(span_range))
    return [span.number for span in open_window(config)]


def test_spans_are_ordered_by_number(make_spans):
    assert list(span_folders(make_spans(10, 9, 2))) == [2, 9, 10]


@pytest.mark.parametrize(
    'name', ['span-8.partial', 'incoming', 'span-x', '.span-8', '20261399', '2026-1121', '7']
)
def test_ignores_other_folders(make_spans, name):
    path = make_spans(1)
    (path / name).mkdir()

    assert list(span_folders(path)) == [1]


def test_images_outside_spans_are_an_error(make_spans):
    path = make_spans('20240101', per_class=1)
    (path / '20240101' / 'cats').rename(path / 'cats')

    message = 'has spans, such as 20240101, and images in cats, which is not a span; move'
    with pytest.raises(DataError, match=message):
        window(path, 1)


@pytest.mark.parametrize('name', ['span-8.partial', '.cache', '_more', '__MACOSX'])
def test_some_other_folders_may_contain_images(make_spans, name):
    path = make_spans(1, name, per_class=1)

    assert [span.number for span in window(path, 2)] == [1]


@pytest.mark.parametrize('names', [('span-007', 'span-7'), ('2026-11-21', 'span-20261121')])
def test_duplicate_span_numbers_are_an_error(make_spans, names):
    message = f'{names[0]} and .*{names[1]} are the same span; remove one'
    with pytest.raises(DataError, match=message):
        span_folders(make_spans(*names, per_class=1))


@pytest.mark.parametrize(('size', 'expected'), [(1, [10]), (2, [9, 10]), (5, [2, 9, 10])])
def test_window_has_newest_spans_oldest_first(make_spans, size, expected):
    spans = window(make_spans(2, 9, 10), size)

    assert [span.number for span in spans] == expected
    assert [span.source.count for span in spans] == [6] * len(expected)


def test_span_may_lack_classes(make_spans, make_image_folder):
    path = make_spans(1)
    make_image_folder(path / 'span-2', per_class=3, classes=('dogs',))

    old, new = window(path, 2)

    assert old.source.classes == new.source.classes == ('cats', 'dogs')
    assert {image.label for image in every_image(new.source)} == {1}


def test_class_names_of_macos_and_linux_are_equal(make_spans):
    path = make_spans(1, classes=('cats', 'Ku\u0308he'), per_class=1)
    make_spans(2, classes=('cats', 'K\u00fche'), per_class=1)

    spans = window(path, 2)

    assert [span.source.classes for span in spans] == [('K\u00fche', 'cats')] * 2
    labels = [sorted(image.label for image in every_image(span.source)) for span in spans]
    assert labels == [[0, 1]] * 2


def test_spans_have_combined_classes_of_window(make_spans):
    path = make_spans(1)
    make_spans(2, classes=('cats', 'wolves'))
    make_spans(3, classes=('ants',))

    spans = window(path, 3)

    assert {span.source.classes for span in spans} == {('ants', 'cats', 'dogs', 'wolves')}
    labels = [{image.label for image in every_image(span.source)} for span in spans]
    assert labels == [{1, 2}, {1, 3}, {0}]


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
    config = DataConfig(source='folder', path=path, window=2, classes=('dogs', 'cats'))

    old, new = open_window(config)

    assert old.source.classes == new.source.classes == ('dogs', 'cats')
    labels = [getattr(image, 'label', None) for image in every_image(old.source)]
    assert labels == [0] * 3 + [None] * 3


def test_span_without_images_is_an_error(make_spans):
    path = make_spans(1)
    (path / 'span-2' / 'cats').mkdir(parents=True)

    with pytest.raises(DataError, match=r'span-2 holds no images; expected a folder per class'):
        window(path, 2)


def test_parquet_spans_with_different_classes_are_an_error(make_spans, monkeypatch):
    sources = iter(SimpleNamespace(classes=each) for each in (('cats', 'wolves'), ('cats', 'dogs')))
    monkeypatch.setattr(spans, 'make_source', lambda *_, **__: next(sources))
    config = DataConfig(source='parquet', path=make_spans(1, 2), window=2)

    with pytest.raises(DataError, match=r'has the classes cats, dogs .* cats, wolves; all spans'):
        open_window(config)


def test_folders_named_after_dates_are_spans(make_spans):
    path = make_spans('2026-11-21', '20261103', 'span-2025-12-31', 'span-20260101', per_class=1)

    assert list(span_folders(path)) == [20251231, 20260101, 20261103, 20261121]
    assert [span.number for span in window(path, 2)] == [20261103, 20261121]


def test_range_selects_spans_by_number(make_spans):
    path = make_spans(*range(1, 13), per_class=1)

    assert list(span_folders(path)) == list(range(1, 13))
    assert ranged(path, '[9, 11]') == [9, 10, 11]
    assert ranged(path, '[11, 99]') == [11, 12]
    assert ranged(path, '[2, 2]') == [2]


@pytest.mark.parametrize('span_range', ['[2026-11-03, 2026-11-20]', '[20261103, "2026-11-20"]'])
def test_range_may_consist_of_dates(make_spans, span_range):
    path = make_spans('2026-11-21', '20261103', '2026-11-19', '20261102', per_class=1)

    assert ranged(path, span_range) == [20261103, 20261119]


@pytest.mark.parametrize(
    ('names', 'existing'), [((1, 2, 12), 'its spans are 1, 2, 12'), (('.',), 'it has no spans')]
)
def test_range_without_spans_is_an_error(make_spans, names, existing):
    message = rf'pets has none of the spans 3 to 9 of data\.span_range; {existing}$'
    with pytest.raises(DataError, match=message):
        ranged(make_spans(*names, per_class=1), '[3, 9]')


def test_images_without_spans_are_span_1(tmp_path, make_image_folder):
    (only,) = window(make_image_folder(tmp_path / 'pets', per_class=3), 3)

    assert (only.number, only.source.count) == (1, 6)
