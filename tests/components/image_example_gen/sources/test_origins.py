"""Values of the feature `image/source`."""

import shutil

import pytest

from components.image_example_gen.sources.archive.source import ArchiveSource
from components.image_example_gen.sources.base.origins import (
    MOST,
    OTHERS,
    limit_sources,
    sources_of_files,
)
from components.image_example_gen.sources.base.source_protocol import every_image
from components.image_example_gen.sources.folder import FolderSource

PLACES = ('cats/phone/old/a.jpg', 'cats/b.jpg', 'dogs/phone/c.jpg', 'dogs/web/d.jpg')


def sources_of(source):
    return {image.filename: image.source for image in every_image(source)}


@pytest.mark.parametrize('part', ['', 'train/'])
def test_source_is_the_subfolder_or_the_folder_of_a_span(tmp_path, part):
    validation = ('validation/cats/0.jpg', 'validation/dogs/0.jpg') if part else ()
    for place in (*(part + each for each in PLACES), *validation):
        file = tmp_path / 'span-7' / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    shutil.make_archive(str(tmp_path / 'pets'), 'tar', tmp_path / 'span-7')

    in_folder = sources_of(FolderSource(tmp_path / 'span-7'))
    in_archive = sources_of(ArchiveSource(tmp_path / 'pets.tar'))

    assert [in_folder[part + place] for place in PLACES] == ['phone', 'span-7', 'phone', 'web']
    assert [in_archive[part + place] for place in PLACES] == ['phone', '', 'phone', 'web']


def test_shards_of_a_file_are_one_source():
    names = ('2020/a-00000-of-00002.parquet', '2020/a-00001-of-00002.parquet', 'b.tfrecord.gz')

    assert [*sources_of_files((name, 1) for name in names).values()] == ['2020/a', '2020/a', 'b']


def test_limits_the_number_of_sources():
    images = {str(number): number for number in range(1, 31)}
    few = dict.fromkeys(map(str, range(MOST)), 1)

    limited = limit_sources(images | {'': 100})

    assert set(limited.values()) == {*map(str, range(12, 31)), OTHERS, ''}
    assert limited[''] == ''
    assert limit_sources(few) == {name: name for name in few}
