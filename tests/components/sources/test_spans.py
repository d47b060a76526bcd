import pytest

from components.sources.base import DataError
from components.sources.config import DataConfig
from components.sources.spans import open_window, span_folders


@pytest.fixture
def make_spans(tmp_path, make_image_folder):
    """`make_spans(1, 2)`: a folder with these spans, three images of each class in each."""

    def make(*numbers, classes=('cats', 'dogs')):
        for number in numbers:
            folder = tmp_path / 'pets' / f'span-{number}'
            make_image_folder(folder, per_class=3, classes=classes, seed=number)
        return tmp_path / 'pets'

    return make


def window(path, size):
    return open_window(DataConfig(source='folder', path=path, window=size))


def test_spans_are_in_the_order_of_their_numbers(make_spans):
    assert list(span_folders(make_spans(10, 9, 2))) == [2, 9, 10]


@pytest.mark.parametrize('name', ['span-8.partial', 'incoming', 'span-x', '.span-8'])
def test_other_folders_beside_the_spans_are_left_alone(make_spans, name):
    path = make_spans(1)
    (path / name).mkdir()

    assert list(span_folders(path)) == [1]


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
    assert {image.label for image in new.source.images()} == {1}


def test_spans_with_other_classes_are_told(make_spans):
    path = make_spans(1)
    make_spans(2, classes=('cats', 'wolves'))

    with pytest.raises(DataError, match=r'has the classes cats, wolves .* cats, dogs; all spans'):
        window(path, 2)


def test_images_that_come_in_no_spans_are_span_1(tmp_path, make_image_folder):
    (only,) = window(make_image_folder(tmp_path / 'pets', per_class=3), 3)

    assert (only.number, only.source.count) == (1, 6)
