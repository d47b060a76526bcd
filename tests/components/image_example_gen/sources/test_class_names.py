"""Limits of class names and of their number."""

import pytest

from common.errors import DataError
from components.image_example_gen.sources.base.labels import make_labels, require_names
from components.image_example_gen.sources.base.source_protocol import is_class_name


@pytest.mark.parametrize('name', ['cats', 'Kühe', 'a b', 'x' * 255, '猫'])
def test_names_are_accepted(name):
    assert is_class_name(name)


@pytest.mark.parametrize('name', ['', ' ', 'a\nb', 'ca\udcffts', 'x' * 256, 'ü' * 128])
def test_names_that_cannot_be_used_are_refused(name):
    assert not is_class_name(name)
    with pytest.raises(DataError, match=r'folder has the class name .*; rename it') as raised:
        require_names('folder', ['cats', name])
    assert len(str(raised.value)) < 800


def test_number_of_classes_is_limited():
    names = tuple(f'{number:05d}' for number in range(10_001))
    assert make_labels('a.parquet', names[1:], None).classes == names[1:]
    with pytest.raises(DataError, match=r'a.parquet has more than 10,000 classes; perhaps'):
        make_labels('a.parquet', names, None)
