"""Values of the feature `image/source`."""

import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from made_images import encoded, picture

from common import features
from components.image_example_gen.ingestion.records import to_example
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.examine import examine
from components.image_example_gen.sources.archive.source import ArchiveSource
from components.image_example_gen.sources.base.config import FeatureNames
from components.image_example_gen.sources.base.origins import MOST, OTHERS, limit_sources
from components.image_example_gen.sources.base.source_protocol import LabelledImage, every_image
from components.image_example_gen.sources.folder.source import FolderSource
from components.image_example_gen.sources.parquet import ParquetSource
from components.image_example_gen.sources.tfrecord.source import TfrecordSource

PLACES = ('cats/phone/old/a.jpg', 'cats/b.jpg', 'dogs/phone/c.jpg', 'dogs/web/d.jpg')


def sources_of(source):
    return {image.filename: image.source for image in every_image(source)}


@pytest.mark.parametrize('part', ['', 'train/'])
def test_source_in_a_folder_is_the_subfolder_or_the_folder(tmp_path, part):
    validation = ('validation/cats/0.jpg', 'validation/dogs/0.jpg') if part else ()
    for place in (*(part + each for each in PLACES), *validation):
        file = tmp_path / 'span-7' / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    found = sources_of(FolderSource(tmp_path / 'span-7'))

    assert [found[part + place] for place in PLACES] == ['phone', 'span-7', 'phone', 'web']


@pytest.mark.parametrize('around', ['', 'pets/'])
def test_source_in_an_archive_is_the_subfolder(tmp_path, around):
    with tarfile.open(tmp_path / 'pets.tar', 'w') as archive:
        for place in PLACES:
            entry = tarfile.TarInfo(around + place)
            entry.size = 1
            archive.addfile(entry, io.BytesIO(b'x'))

    found = sources_of(ArchiveSource(tmp_path / 'pets.tar'))

    assert [found[around + place] for place in PLACES] == ['phone', '', 'phone', 'web']


def test_shards_of_a_file_are_one_source(tmp_path):
    for name in ('2020/train-00000-of-00002', '2020/train-00001-of-00002', 'more'):
        path = tmp_path / f'{name}.parquet'
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({'image': [b'0', b'1'], 'label': ['cat', 'dog']}), path)

    found = sources_of(ParquetSource(tmp_path))

    assert {each.split('.')[0]: source for each, source in found.items()} == {
        '2020/train-00000-of-00002': '2020/train',
        '2020/train-00001-of-00002': '2020/train',
        'more': 'more',
    }


def test_record_file_is_a_source(tmp_path):
    for name in ('old.tfrecord', 'new-00000-of-00001'):
        with tf.io.TFRecordWriter(str(tmp_path / name)) as writer:
            for label in (b'cat', b'dog'):
                example = tf.train.Example()
                example.features.feature['image'].bytes_list.value.append(b'0')
                example.features.feature['label'].bytes_list.value.append(label)
                writer.write(example.SerializeToString())
    names = FeatureNames(image='image', label='label')

    found = sources_of(TfrecordSource(tmp_path, names))

    assert set(found.values()) == {'old', 'new'}


def test_largest_of_many_sources_keep_their_names():
    images = {str(number): number for number in range(1, 31)}

    limited = limit_sources(images | {'': 100})

    kept = set(limited.values()) - {OTHERS, ''}
    assert kept == {str(number) for number in range(12, 31)}
    assert len(kept) + 1 == MOST
    assert limited[''] == ''


def test_all_sources_keep_their_names_up_to_the_limit():
    images = dict.fromkeys(map(str, range(MOST)), 1)

    assert limit_sources(images) == {name: name for name in images}


@pytest.mark.parametrize('source', ['phone', ''])
def test_record_has_its_source_if_known(source):
    contents = encoded(picture())
    image = LabelledImage(contents, 0, 'a.jpg', source=source)

    example = to_example(image, examine(contents, CheckConfig()), 'ab', ('cats', 'dogs'))

    found = example.features.feature.get(features.SOURCE)
    assert [found.bytes_list.value[0].decode() if found else ''] == [source]
