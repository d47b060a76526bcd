"""What a person is told of the data when a run starts."""

import pytest

from components.sources.config import DataConfig
from components.sources.spans import open_window
from pipeline.run import describe_data


@pytest.mark.parametrize(
    ('names', 'told'),
    [
        ((), ''),
        (('.DS_Store',), ''),
        (('notes.txt',), ', 1 file that is no image left out'),
        (('notes.txt', 'a.csv'), ', 2 files that are no images left out'),
    ],
)
def test_files_that_are_no_images_are_told(tmp_path, make_image_folder, names, told):
    path = make_image_folder(tmp_path, per_class=1)
    for name in names:
        (path / 'cats' / name).touch()

    spans = open_window(DataConfig(source='folder', path=path))

    assert describe_data(spans) == f'2 images of cats and dogs{told}'
