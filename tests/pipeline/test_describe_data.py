"""What a person reads of the images before a run begins."""

from types import SimpleNamespace

import pytest

from pipeline.run import describe_data


@pytest.mark.parametrize(
    ('classes', 'words'),
    [
        (('cat', 'dog'), '40 images of cat and dog'),
        (('cat', 'dog', 'fox'), '40 images of 3 classes (cat, dog, fox)'),
        (tuple('abcdefg'), '40 images of 7 classes (a, b, c, d, e, ...)'),
    ],
)
def test_the_classes_are_named_as_far_as_there_is_room(classes, words):
    source = SimpleNamespace(classes=classes, count=40)
    assert describe_data([SimpleNamespace(number=1, source=source)]) == words
