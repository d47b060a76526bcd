"""What a person is told of the data when a run starts."""

from types import SimpleNamespace

import pytest

from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.spans import open_window
from pipeline.local.run_recipe import describe_data


@pytest.mark.parametrize(
    ('names', 'told'),
    [
        ((), ''),
        (('.DS_Store',), ''),
        (('notes.txt',), ', 1 non-image file skipped'),
        (('notes.txt', 'a.csv'), ', 2 non-image files skipped'),
    ],
)
def test_files_that_are_no_images_are_told(tmp_path, make_image_folder, names, told):
    path = make_image_folder(tmp_path, per_class=1)
    for name in names:
        (path / 'cats' / name).touch()

    spans = open_window(DataConfig(source='folder', path=path))

    assert describe_data(spans) == f'2 images, 2 classes (cats, dogs){told}'


@pytest.mark.parametrize(
    ('classes', 'words'),
    [
        (('cat', 'dog'), '4,000 images, 2 classes (cat, dog)'),
        (tuple('abcdefg'), '4,000 images, 7 classes (a, b, c, d, e, ...)'),
    ],
)
def test_the_classes_are_named_as_far_as_there_is_room(classes, words):
    source = SimpleNamespace(classes=classes, count=4000)
    assert describe_data([SimpleNamespace(number=1, source=source)]) == words
