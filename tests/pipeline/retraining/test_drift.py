"""How far spans are from each other."""

import pytest

from components.image_example_gen.sources.folder import FolderSource
from pipeline.retraining.drift import Summary, drift, moves, pooled, summarise

SOME = Summary(100, {'cats': 0.5, 'dogs': 0.5}, 0.5, 100.0)


def test_a_span_is_summarised_from_its_images(tmp_path, make_image_folder):
    folder = make_image_folder(tmp_path / 'span-1', per_class=3, size=(64, 16))
    summary = summarise(FolderSource(folder))
    assert summary.count == 6
    assert summary.shares == {'cats': 0.5, 'dogs': 0.5}
    assert summary.brightness == pytest.approx(125 / 255, abs=0.02)
    assert summary.size == 32


def test_an_image_that_cannot_be_read_is_left_to_the_run(tmp_path, make_image_folder):
    folder = make_image_folder(tmp_path / 'span-1', per_class=2)
    (folder / 'cats' / 'cats-0-0.jpg').write_bytes(b'no image')
    summary = summarise(FolderSource(folder))
    assert summary.count == 4
    assert summary.brightness > 0.5  # of one dark image and two bright ones


def test_bad_images_have_no_class_and_are_not_counted(tmp_path, make_image_folder):
    folder = make_image_folder(tmp_path / 'span-1', per_class=2, classes=('cats', 'dogs', 'rats'))
    summary = summarise(FolderSource(folder, ('cats', 'dogs')))
    assert summary.count == 4
    assert summary.shares == {'cats': 0.5, 'dogs': 0.5}


def test_spans_are_pooled_by_their_images():
    other = Summary(300, {'cats': 0.9, 'dogs': 0.1}, 0.1, 20.0)
    together = pooled([SOME, other])
    assert together.count == 400
    assert together.shares == pytest.approx({'cats': 0.8, 'dogs': 0.2})
    assert together.brightness == pytest.approx(0.2)
    assert together.size == pytest.approx(40)


@pytest.mark.parametrize(
    ('new', 'moved'),
    [
        (SOME, {'class balance': 0, 'brightness': 0, 'size': 0}),
        (
            Summary(9, {'cats': 0.8, 'dogs': 0.2}, 0.3, 150.0),
            {'class balance': 0.3, 'brightness': 0.2, 'size': 0.5},
        ),
        (Summary(9, {'cats': 1.0}, None, None), {'class balance': 0.5}),
    ],
)
def test_each_measure_moves_by_itself(new, moved):
    assert moves(new, SOME) == pytest.approx(moved)


def test_what_moved_too_far_is_told_with_the_limit():
    dark = Summary(9, {'cats': 0.6, 'dogs': 0.4}, 0.19, 100.0)
    assert drift(4, dark, SOME, 0.2) == ('brightness of span 4 moved by 0.31 (limit 0.2)',)
    assert drift(4, SOME, SOME, 0.2) == ()
