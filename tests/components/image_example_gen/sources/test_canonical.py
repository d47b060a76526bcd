import json
import re
from pathlib import Path

import pytest
import tensorflow as tf

from common import features
from common.errors import DataError
from components.image_example_gen.sources.base.source_protocol import every_image
from components.image_example_gen.sources.tfrecord.canonical import CanonicalSource

SPLITS = ('train', 'eval', 'test')


def write_split(folder: Path, split: str, labels: list[int]) -> Path:
    """Writes the canonical records of a split, with the features that the source reads."""
    path = folder / f'Split-{split}' / 'data_tfrecord-00000-of-00001'
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number, label in enumerate(labels):
            example = tf.train.Example()
            values = example.features.feature
            values[features.IMAGE_BYTES].bytes_list.value.append(f'{split}{number}'.encode())
            values[features.LABEL].int64_list.value.append(label)
            values[features.FILENAME].bytes_list.value.append(f'{number}.jpg'.encode())
            writer.write(example.SerializeToString())
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / 'records'
    for split in SPLITS:
        write_split(folder, split, [0, 1, 1])
    counts = {split: {'cat': 1, 'dog': 2} for split in SPLITS}
    manifest = {'source': {'classes': ['cat', 'dog']}, 'counts': counts}
    (folder / 'manifest.json').write_text(json.dumps(manifest))
    return folder


def test_reads_classes_from_manifest_and_every_image_once(folder):
    source = CanonicalSource(folder)

    assert source.classes == ('cat', 'dog')
    assert source.count == 9
    images = list(every_image(source))
    assert [image.contents for image in images] == [
        f'{split}{number}'.encode() for split in SPLITS for number in range(3)
    ]
    assert [image.label for image in images] == [0, 1, 1] * 3
    assert images[4].filename == 'Split-eval/data_tfrecord-00000-of-00001:1 (1.jpg)'


def test_recipe_renames_classes(folder):
    source = CanonicalSource(folder, ('dog', 'cat'))

    assert source.classes == ('dog', 'cat')
    assert [image.label for image in every_image(source)] == [0, 1, 1] * 3


@pytest.mark.parametrize('manifest', [None, '{', '{}', '{"source": null}', '[]'])
def test_unnamed_classes_are_an_error(folder, manifest):
    (folder / 'manifest.json').unlink()
    if manifest:
        (folder / 'manifest.json').write_text(manifest)

    with pytest.raises(DataError, match=r'records does not name its classes; list them'):
        CanonicalSource(folder)


def test_missing_folder_or_split_is_an_error(folder):
    (folder / 'Split-eval').rename(folder / 'Split-validation')

    with pytest.raises(DataError, match=f'^{re.escape(str(folder))}/Split-eval does not exist'):
        CanonicalSource(folder)
    with pytest.raises(DataError, match='nowhere/Split-train does not exist; give a folder'):
        CanonicalSource(folder / 'nowhere')


def test_split_without_records_is_an_error(folder):
    path = write_split(folder, 'test', [])
    with pytest.raises(DataError, match=r'/Split-test has no images: it has no records$'):
        CanonicalSource(folder)
    path.rename(path.with_name('other'))
    with pytest.raises(DataError, match=r'/Split-test has no record files; expected .*/data_tfrec'):
        CanonicalSource(folder)


def test_split_without_images_of_a_class_is_an_error(folder):
    manifest = (folder / 'manifest.json').read_text()
    (folder / 'manifest.json').write_text(manifest.replace('"dog": 2}}', '"dog": 0}}'))

    with pytest.raises(DataError, match="/Split-test has no images of class 'dog'"):
        CanonicalSource(folder)


def test_fingerprint_depends_on_record_files_only(folder):
    before = CanonicalSource(folder).fingerprint
    (folder / 'Split-train' / '.notes').touch()
    assert CanonicalSource(folder).fingerprint == before
    write_split(folder, 'test', [0, 1, 1, 1])
    assert CanonicalSource(folder).fingerprint != before
