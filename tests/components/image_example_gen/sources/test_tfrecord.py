import gzip
import pickle
import re
from pathlib import Path

import pytest
import tensorflow as tf

from common.errors import DataError
from components.image_example_gen.sources.base.config import FeatureNames
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    every_image,
)
from components.image_example_gen.sources.tfrecord import record_files
from components.image_example_gen.sources.tfrecord.source import TfrecordSource

NAMES = FeatureNames(image='jpeg', label='kind', filename='file')
CLASSES = ('cat', 'dog')
HEAD, TAIL = 12, 4  # bytes around the payload of a record


def example(**values) -> bytes:
    """A serialised `tf.Example`; a value is bytes, a whole number or a float."""
    features = {}
    for name, value in values.items():
        those = value if isinstance(value, list) else [value]
        feature = features[name] = tf.train.Feature()
        kinds = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
        kinds[type(those[0])].value.extend(those)
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write(path: Path, examples, compression: str = '') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for each in examples:
            writer.write(each)
    return path


def pets(count: int) -> list[bytes]:
    return [example(jpeg=b'%d' % n, kind=n % 2, file=b'pet-%d.jpg' % n) for n in range(count)]


def images_of(path: Path, names=NAMES, classes=CLASSES) -> list:
    return list(every_image(TfrecordSource(path, names, classes)))


@pytest.mark.parametrize('compression', ['', 'GZIP'])
def test_reads_every_image_once(tmp_path, compression):
    path = write(tmp_path / 'records', pets(3), compression)

    source = TfrecordSource(path, NAMES, CLASSES)

    assert source.classes == CLASSES
    assert source.count == 3
    assert list(every_image(source)) == [
        LabelledImage(b'0', 0, 'records:0 (pet-0.jpg)', source='records'),
        LabelledImage(b'1', 1, 'records:1 (pet-1.jpg)', source='records'),
        LabelledImage(b'2', 0, 'records:2 (pet-2.jpg)', source='records'),
    ]


def test_file_is_divided_into_shards(tmp_path):
    path = write(tmp_path / 'a.tfrecord', pets(1200))
    source = TfrecordSource(path, NAMES, CLASSES)

    parts = [list(pickle.loads(pickle.dumps(shard)).images()) for shard in source.shards()]

    assert [len(part) for part in parts] == [512, 512, 176]
    assert [image.contents for part in parts for image in part] == [b'%d' % n for n in range(1200)]
    assert parts[2][0].filename == 'a.tfrecord:1024 (pet-1024.jpg)'


def test_compressed_file_is_one_shard(tmp_path):
    path = write(tmp_path / 'a.tfrecord', pets(600), 'GZIP')

    (shard,) = TfrecordSource(path, NAMES, CLASSES).shards()

    assert len(list(shard.images())) == 600


def test_folder_is_searched_by_file_name(tmp_path):
    wanted = [
        'a.tfrecord',
        'b.TFRecords',
        'c.tfrec',
        'd-00000-of-00002',
        'd-00001-of-00002.gz',
        'e.tfrecord-00000-of-00001',
        'f/a.tfrecord.gz',
    ]
    for name in [*wanted, 'other.txt', '.hidden.tfrecord', '.cache/a.tfrecord']:
        write(tmp_path / name, pets(1), 'GZIP' if name.endswith('gz') else '')

    assert [image.filename.partition(':')[0] for image in images_of(tmp_path)] == sorted(wanted)


def test_image_is_named_by_file_and_number(tmp_path):
    path = write(tmp_path / 'a.tfrecord', pets(2))

    images = images_of(path, FeatureNames(image='jpeg', label='kind'))

    assert [image.filename for image in images] == ['a.tfrecord:0', 'a.tfrecord:1']


def test_empty_filename_is_ignored(tmp_path):
    record = tf.train.Example.FromString(pets(1)[0])
    record.features.feature['file'].bytes_list.ClearField('value')
    path = write(tmp_path / 'a.tfrecord', [record.SerializeToString()])

    (image,) = images_of(path)

    assert image.filename == 'a.tfrecord:0'


def test_label_names_are_sorted_or_ordered_by_recipe(tmp_path):
    kinds = (b'fox', b'cat', b'owl', b'cat')
    path = write(tmp_path / 'a.tfrecord', [example(jpeg=b'a', kind=kind) for kind in kinds])

    source = TfrecordSource(path, NAMES)

    assert source.classes == ('cat', 'fox', 'owl')
    assert [image.label for image in every_image(source)] == [1, 0, 2, 0]
    fox, cat, owl, _ = images_of(path, classes=('fox', 'cat'))
    assert (fox.label, cat.label) == (0, 1)
    detail = 'its label is owl; there are 2 classes (fox, cat)'
    assert owl == BadImage('a.tfrecord:2', 'label outside the list', detail, b'a')


def test_numeric_labels_need_class_names(tmp_path):
    path = write(tmp_path / 'a.tfrecord', pets(2))

    sentence = r'a\.tfrecord does not name its classes; give them .* --set data\.classes=\[cat,dog'
    with pytest.raises(DataError, match=sentence):
        TfrecordSource(path, NAMES)


@pytest.mark.parametrize(
    ('values', 'reason', 'detail'),
    [
        (
            {'jpeg': b'a', 'kind': 7},
            'label outside the list',
            'its label is 7; there are 2 classes (cat, dog)',
        ),
        ({'jpeg': b'a'}, 'unreadable', 'its record has no feature kind'),
        ({'kind': 1}, 'unreadable', 'its record has no feature jpeg'),
        ({'jpeg': [b'a', b'b'], 'kind': 1}, 'unreadable', 'its feature jpeg has 2 values'),
        ({'jpeg': 5, 'kind': 1}, 'unreadable', 'its feature jpeg does not hold bytes'),
        ({'jpeg': b'a', 'kind': b'\xff'}, 'unreadable', 'its feature kind is not text'),
        (
            {'jpeg': b'a', 'kind': 0.5},
            'unreadable',
            'its feature kind is neither a whole number nor a name',
        ),
    ],
)
def test_unusable_record_is_bad(tmp_path, values, reason, detail):
    path = write(tmp_path / 'a.tfrecord', [example(**values), *pets(2)])

    bad, *good = images_of(path)

    assert bad._replace(contents=b'') == BadImage('a.tfrecord:0', reason, detail)
    assert [image.label for image in good] == [0, 1]


def test_record_that_is_no_example_is_bad(tmp_path):
    path = write(tmp_path / 'a.tfrecord', [pets(1)[0], b'hello', pets(1)[0]])

    first, bad, last = images_of(path)

    assert bad == BadImage('a.tfrecord:1', 'unreadable', 'its record is no tf.Example', b'hello')
    assert first.contents == last.contents == b'0'


def test_reading_goes_on_after_wrong_checksum(tmp_path):
    path = write(tmp_path / 'a.tfrecord', pets(3))
    contents = bytearray(path.read_bytes())
    start = HEAD + len(pets(1)[0]) + TAIL + HEAD
    contents[start] ^= 1
    path.write_bytes(contents)

    first, bad, last = images_of(path)

    assert bad.filename == 'a.tfrecord:1'
    assert (bad.reason, bad.detail) == ('damaged', 'the checksum of its record is wrong')
    assert bad.contents == contents[start : start + len(pets(2)[1])]
    assert (first.contents, last.contents) == (b'0', b'2')


@pytest.mark.parametrize('compression', ['', 'GZIP'])
@pytest.mark.parametrize('kept', [1, HEAD - 1, HEAD, HEAD + 9, -1])
def test_last_record_of_truncated_file_is_bad(tmp_path, compression, kept):
    one = HEAD + len(pets(1)[0]) + TAIL
    records = write(tmp_path / 'whole', pets(3)).read_bytes()[: 2 * one + kept % one]
    path = tmp_path / 'a.tfrecord'
    if compression:  # as what a cut-off file decompresses to
        path.write_bytes(gzip.compress(records)[:-8])
    else:
        path.write_bytes(records)

    source = TfrecordSource(path, NAMES, CLASSES)
    *good, bad = every_image(source)

    assert source.count == 3
    assert [image.contents for image in good] == [b'0', b'1']
    assert (bad.filename, bad.reason) == ('a.tfrecord:2', 'truncated')
    assert bad.detail == f'the file ends in its record, which begins at byte {2 * one}'


def test_length_like_gzip_header_is_not_compression(tmp_path):
    record = example(jpeg=bytes(0x8B1F - 41), kind=1)
    assert len(record) == 0x8B1F
    path = write(tmp_path / 'a.tfrecord', [record])

    (image,) = images_of(path)

    assert len(image.contents) == 0x8B1F - 41


def test_truncated_gzip_is_read_up_to_its_end(tmp_path):
    path = write(tmp_path / 'a.tfrecord', pets(500), 'GZIP')
    path.write_bytes(path.read_bytes()[:-2000])

    *good, bad = images_of(path)

    assert [image.contents for image in good] == [b'%d' % n for n in range(len(good))]
    assert 100 < len(good) < 500
    assert bad.reason == 'truncated'


@pytest.mark.parametrize(
    'contents', [b'hello', b'PAR1 is not what these bytes begin with', bytes(99)]
)
def test_other_file_is_refused(tmp_path, contents):
    path = tmp_path / 'a.tfrecord'
    path.write_bytes(contents)

    sentence = f'^{re.escape(str(path))} is not a TFRecord file: no record begins at byte 0$'
    with pytest.raises(DataError, match=sentence):
        TfrecordSource(path, NAMES, CLASSES)


def test_file_that_ends_in_its_first_record_is_refused(tmp_path):
    path = write(tmp_path / 'a.tfrecord', pets(1))
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(
        DataError, match=r'is not a whole TFRecord file: it ends in its first record$'
    ):
        TfrecordSource(path, NAMES, CLASSES)


def test_damaged_head_is_reported_with_its_offset(tmp_path):
    path = write(tmp_path / 'a.tfrecord', pets(2))
    contents = bytearray(path.read_bytes())
    place = HEAD + len(pets(1)[0]) + TAIL
    contents[place] ^= 1
    path.write_bytes(contents)

    with pytest.raises(
        DataError, match=rf'a\.tfrecord is damaged: no record begins at byte {place}$'
    ):
        TfrecordSource(path, NAMES, CLASSES)


def test_damaged_gzip_is_refused(tmp_path):
    path = write(tmp_path / 'a.tfrecord', pets(500), 'GZIP')
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2 :] = b'\xff' * (len(contents) - len(contents) // 2)
    path.write_bytes(contents)

    with pytest.raises(
        DataError, match=r'a\.tfrecord is damaged: (it cannot be dec|no record beg)'
    ):
        TfrecordSource(path, NAMES, CLASSES)


def test_wrong_feature_names_list_the_existing_ones(tmp_path):
    path = write(tmp_path / 'a.tfrecord', pets(3))

    sentence = (
        r'a\.tfrecord has no image that can be read with data\.features, for of the last one its '
        r'record has no feature image/encoded; the features there are: file \(bytes\), '
        r'jpeg \(bytes\), kind \(int\)$'
    )
    with pytest.raises(DataError, match=sentence):
        TfrecordSource(path, FeatureNames(), CLASSES)


def test_too_long_record_is_bad(tmp_path, monkeypatch):
    large = example(jpeg=bytes(3000), kind=1)
    path = write(tmp_path / 'a.tfrecord', [pets(1)[0], large, pets(1)[0]])
    monkeypatch.setattr(record_files, '_LARGEST', 2000)

    first, bad, last = images_of(path)

    detail = f'its record has {len(large):,} bytes'
    assert bad == BadImage('a.tfrecord:1', 'too large', detail)
    assert first.contents == last.contents == b'0'


def test_empty_file_is_refused(tmp_path):
    path = write(tmp_path / 'a.tfrecord', [])

    with pytest.raises(DataError, match=r'a\.tfrecord holds no images: there is no record in it$'):
        TfrecordSource(path, NAMES, CLASSES)


def test_missing_path_or_records_are_reported(tmp_path):
    with pytest.raises(
        DataError, match=r'nowhere does not exist; give a TFRecord file or a folder'
    ):
        TfrecordSource(tmp_path / 'nowhere', NAMES, CLASSES)
    with pytest.raises(
        DataError, match=r'holds no TFRecord files; expected names such as a\.tfrec'
    ):
        TfrecordSource(tmp_path, NAMES, CLASSES)


def test_file_changed_after_listing_is_refused(tmp_path):
    path = write(tmp_path / 'a.tfrecord', pets(600))
    source = TfrecordSource(path, NAMES, CLASSES)

    path.write_bytes(path.read_bytes()[: HEAD + len(pets(1)[0]) + TAIL])
    for shard in source.shards():
        with pytest.raises(DataError, match=r'a\.tfrecord changed while it was read: it '):
            list(shard.images())
    path.unlink()
    with pytest.raises(DataError, match=r'a\.tfrecord cannot be read: No such file'):
        list(every_image(source))


def test_fingerprint_changes_with_files(tmp_path):
    write(tmp_path / 'a.tfrecord', pets(2))
    prints = [TfrecordSource(tmp_path, NAMES, CLASSES).fingerprint for _ in range(2)]
    write(tmp_path / 'b.tfrecord', pets(2))
    prints.append(TfrecordSource(tmp_path, NAMES, CLASSES).fingerprint)
    write(tmp_path / 'b.tfrecord', pets(3))
    prints.append(TfrecordSource(tmp_path, NAMES, CLASSES).fingerprint)

    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
