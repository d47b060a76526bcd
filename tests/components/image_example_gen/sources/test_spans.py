import pytest
import yaml

from common.errors import DataError
from components.image_example_gen.sources import spans
from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.base.source_protocol import every_image
from components.image_example_gen.sources.spans import open_window, span_folders


@pytest.fixture
def make_spans(tmp_path, make_image_folder):
    """`make_spans(1, 2)`: a folder with these spans, three images of each class in each."""

    def make(*numbers, classes=('cats', 'dogs'), per_class=3):
        for number in numbers:
            name = number if isinstance(number, str) else f'span-{number}'
            make_image_folder(tmp_path / 'pets' / name, per_class, classes)
        return tmp_path / 'pets'

    return make


def window(path, size):
    return open_window(DataConfig(source='folder', path=path, window=size))


def ranged(path, given, **more):
    """Numbers of the spans in a range, as YAML gives it."""
    config = DataConfig(source='folder', path=path, span_range=yaml.safe_load(given), **more)
    return [span.number for span in open_window(config)]


def test_spans_are_in_the_order_of_their_numbers(make_spans):
    assert list(span_folders(make_spans(10, 9, 2))) == [2, 9, 10]


@pytest.mark.parametrize(
    'name', ['span-8.partial', 'incoming', 'span-x', '.span-8', '20261399', '2026-1121', '7']
)
def test_other_folders_beside_the_spans_are_left_alone(make_spans, name):
    path = make_spans(1)
    (path / name).mkdir()

    assert list(span_folders(path)) == [1]


def test_images_beside_the_spans_are_not_passed_over_in_silence(make_spans):
    path = make_spans('20240101', per_class=1)
    (path / '20240101' / 'cats').rename(path / 'cats')

    sentence = 'holds the span 20240101 and, in no span, images in cats; move these into a span, or'
    with pytest.raises(DataError, match=sentence):
        window(path, 1)


@pytest.mark.parametrize('name', ['span-8.partial', '.cache', '_more', '__MACOSX'])
def test_some_folders_beside_the_spans_may_hold_images(make_spans, name):
    path = make_spans(1, name, per_class=1)

    assert [span.number for span in window(path, 2)] == [1]


def test_the_same_number_twice_is_told(make_spans):
    path = make_spans(7)
    (path / 'span-007').mkdir()

    with pytest.raises(DataError, match=r'span-007 and .*span-7 are the same span; remove one'):
        span_folders(path)


@pytest.mark.parametrize(('size', 'expected'), [(1, [10]), (2, [9, 10]), (5, [2, 9, 10])])
def test_the_window_holds_the_newest_spans_oldest_first(make_spans, size, expected):
    spans = window(make_spans(2, 9, 10), size)

    assert [span.number for span in spans] == expected
    assert [span.source.count for span in spans] == [6] * len(expected)


def test_a_date_is_a_number(make_spans):
    assert [span.number for span in window(make_spans(20261121, 20261103), 2)] == [
        20261103,
        20261121,
    ]


def test_a_span_may_have_images_of_some_classes_only(make_spans, make_image_folder):
    path = make_spans(1)
    make_image_folder(path / 'span-2', per_class=3, classes=('dogs',))

    old, new = window(path, 2)

    assert old.source.classes == new.source.classes == ('cats', 'dogs')
    assert {image.label for image in every_image(new.source)} == {1}


def test_spans_from_macos_and_linux_have_the_same_classes(make_spans):
    path = make_spans(1, classes=('cats', 'Ku\u0308he'), per_class=1)
    make_spans(2, classes=('cats', 'K\u00fche'), per_class=1)

    spans = window(path, 2)

    assert [span.source.classes for span in spans] == [('K\u00fche', 'cats')] * 2
    assert [sorted(image.label for image in every_image(span.source)) for span in spans] == [
        [0, 1],
        [0, 1],
    ]


def test_spans_have_the_classes_of_all_in_the_window(make_spans):
    path = make_spans(1)
    make_spans(2, classes=('cats', 'wolves'))
    make_spans(3, classes=('ants',))

    spans = window(path, 3)

    assert {span.source.classes for span in spans} == {('ants', 'cats', 'dogs', 'wolves')}
    assert [{image.label for image in every_image(span.source)} for span in spans] == [
        {1, 2},
        {1, 3},
        {0},
    ]


def test_a_class_that_is_empty_in_one_span_may_have_images_in_another(make_spans):
    path = make_spans(1, 2)
    (path / 'span-2' / 'wolves').mkdir()

    with pytest.raises(
        DataError, match=r"^class 'wolves' has no images in the spans in .*pets, wh"
    ):
        window(path, 2)
    make_spans(1, classes=('wolves',))
    assert window(path, 2)[1].source.classes == ('cats', 'dogs', 'wolves')


def test_a_list_of_classes_is_that_of_every_span(make_spans):
    path = make_spans(1, classes=('dogs', 'wolves'))
    make_spans(2, classes=('cats',))
    config = DataConfig(source='folder', path=path, window=2, classes=('dogs', 'cats'))

    old, new = open_window(config)

    assert old.source.classes == new.source.classes == ('dogs', 'cats')
    assert [getattr(image, 'label', None) for image in every_image(old.source)] == [
        0,
        0,
        0,
        None,
        None,
        None,
    ]


def test_a_span_without_images_is_told(make_spans):
    path = make_spans(1)
    (path / 'span-2' / 'cats').mkdir(parents=True)

    with pytest.raises(DataError, match=r'span-2 holds no images; expected a folder per class'):
        window(path, 2)


def test_spans_of_parquet_files_that_name_other_classes_are_told(make_spans, monkeypatch):
    sources = iter([StubSource(('cats', 'wolves')), StubSource(('cats', 'dogs'))])
    monkeypatch.setattr(spans, 'make_source', lambda *_, **__: next(sources))
    config = DataConfig(source='parquet', path=make_spans(1, 2), window=2)

    with pytest.raises(DataError, match=r'has the classes cats, dogs .* cats, wolves; all spans'):
        open_window(config)


class StubSource:
    def __init__(self, classes):
        self.classes = classes


def test_folders_named_after_dates_are_spans(make_spans):
    path = make_spans('2026-11-21', '20261103', 'span-2025-12-31', 'span-20260101', per_class=1)

    assert list(span_folders(path)) == [20251231, 20260101, 20261103, 20261121]


def test_a_date_written_in_two_ways_is_told(make_spans):
    with pytest.raises(DataError, match=r'2026-11-21 and .*span-20261121 are the same span'):
        span_folders(make_spans('2026-11-21', 'span-20261121', per_class=1))


def test_a_range_takes_the_spans_in_it_of_more_than_nine(make_spans):
    path = make_spans(*range(1, 13), per_class=1)

    assert list(span_folders(path)) == list(range(1, 13))
    assert ranged(path, '[9, 11]') == [9, 10, 11]
    assert ranged(path, '[11, 99]') == [11, 12]
    assert ranged(path, '[2, 2]') == [2]


@pytest.mark.parametrize('given', ['[2026-11-03, 2026-11-20]', '[20261103, "2026-11-20"]'])
def test_a_range_may_be_one_of_dates(make_spans, given):
    path = make_spans('2026-11-21', '20261103', '2026-11-19', '20261102', per_class=1)

    assert ranged(path, given) == [20261103, 20261119]


def test_a_range_without_spans_says_which_there_are(make_spans):
    with pytest.raises(
        DataError,
        match=r'pets has none of the spans 3 to 9 of data\.span_range; there are 1, 2, 12$',
    ):
        ranged(make_spans(1, 2, 12, per_class=1), '[3, 9]')


def test_a_range_of_a_folder_without_spans_is_told(tmp_path, make_image_folder):
    with pytest.raises(DataError, match=r'spans 3 to 9 of data\.span_range; it holds no spans'):
        ranged(make_image_folder(tmp_path / 'pets', 1), '[3, 9]')


def test_images_that_come_in_no_spans_are_span_1(tmp_path, make_image_folder):
    (only,) = window(make_image_folder(tmp_path / 'pets', per_class=3), 3)

    assert (only.number, only.source.count) == (1, 6)
