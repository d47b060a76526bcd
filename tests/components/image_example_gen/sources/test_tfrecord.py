import gzip
import pickle
import re
from pathlib import Path

import pytest
from record_examples import example, write_records

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


def pets(count: int) -> list[bytes]:
    return [example(jpeg=b'%d' % n, kind=n % 2, file=b'pet-%d.jpg' % n) for n in range(count)]


ONE = HEAD + len(pets(1)[0]) + TAIL  # length of a record


def images_of(path: Path, names=NAMES, classes=CLASSES) -> list:
    return list(every_image(TfrecordSource(path, names, classes)))


def damage(path: Path, place: int) -> None:
    contents = bytearray(path.read_bytes())
    contents[place] ^= 1
    path.write_bytes(contents)


@pytest.mark.parametrize('compression', ['', 'GZIP'])
def test_reads_every_image_once(tmp_path, compression):
    path = write_records(tmp_path / 'records', pets(3), compression)

    source = TfrecordSource(path, NAMES, CLASSES)

    assert (source.classes, source.count) == (CLASSES, 3)
    assert list(every_image(source)) == [
        LabelledImage(b'%d' % n, n % 2, f'records:{n} (pet-{n}.jpg)', source='records')
        for n in range(3)
    ]


@pytest.mark.parametrize(('compression', 'sizes'), [('', [512, 88]), ('GZIP', [600])])
def test_only_uncompressed_files_are_divided(tmp_path, compression, sizes):
    path = write_records(tmp_path / 'a.tfrecord', pets(600), compression)
    shards = TfrecordSource(path, NAMES, CLASSES).shards()

    parts = [list(shard.images()) for shard in pickle.loads(pickle.dumps(shards))]

    assert [len(part) for part in parts] == sizes
    assert [image.filename for part in parts for image in part] == [
        f'a.tfrecord:{n} (pet-{n}.jpg)' for n in range(600)
    ]


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
        write_records(tmp_path / name, pets(1), 'GZIP' if name.endswith('gz') else '')

    assert [image.filename.partition(':')[0] for image in images_of(tmp_path)] == sorted(wanted)


@pytest.mark.parametrize('filename', [None, 'none', 'empty'])
def test_image_without_filename_is_named_by_file_and_number(tmp_path, filename):
    path = write_records(tmp_path / 'a.tfrecord', [example(jpeg=b'a', kind=0, empty=[])])

    (image,) = images_of(path, FeatureNames(image='jpeg', label='kind', filename=filename))

    assert image.filename == 'a.tfrecord:0'


def test_label_names_are_sorted_or_ordered_by_recipe(tmp_path):
    examples = [example(jpeg=b'a', kind=kind) for kind in (b'fox', b'cat', b'owl', b'cat')]
    path = write_records(tmp_path / 'a.tfrecord', [b'bad', *examples])

    source = TfrecordSource(path, NAMES)

    assert source.classes == ('cat', 'fox', 'owl')
    assert [image.label for image in list(every_image(source))[1:]] == [1, 0, 2, 0]
    _, fox, cat, owl, _ = images_of(path, classes=('fox', 'cat'))
    assert (fox.label, cat.label) == (0, 1)
    detail = 'its label is owl; expected one of 2 classes (fox, cat)'
    assert owl == BadImage('a.tfrecord:3', 'label outside the list', detail, b'a')


def test_numeric_labels_need_class_names(tmp_path):
    path = write_records(tmp_path / 'a.tfrecord', pets(2))

    with pytest.raises(DataError, match=r'a\.tfrecord does not name its classes; list them'):
        TfrecordSource(path, NAMES)


@pytest.mark.parametrize(
    ('record', 'detail'),
    [
        (example(jpeg=b'a', kind=7), 'its label is 7; expected one of 2 classes (cat, dog)'),
        (example(jpeg=b'a'), 'its record has no feature kind; its features: jpeg'),
        (example(), 'its record has no feature jpeg; its features: none'),
        (example(jpeg=[b'a', b'b'], kind=1), 'its feature jpeg has 2 values; expected one'),
        (example(jpeg=[], kind=1), 'its feature jpeg has 0 values; expected one'),
        (example(jpeg=5, kind=1), 'its feature jpeg is int; expected bytes'),
        (example(jpeg=b'a', kind=b'\xff'), 'its feature kind is not text'),
        (example(jpeg=b'a', kind=0.5), 'its feature kind is float; expected int or bytes'),
        (b'hello', 'its record is not a tf.Example'),
    ],
)
def test_invalid_record_is_bad(tmp_path, record, detail):
    path = write_records(tmp_path / 'a.tfrecord', [record, *pets(2)])

    bad, *good = images_of(path)

    reason = 'label outside the list' if detail.startswith('its label') else 'unreadable'
    assert bad._replace(contents=b'') == BadImage('a.tfrecord:0', reason, detail)
    assert bool(bad.contents) == bool(record)
    assert [image.label for image in good] == [0, 1]


def test_wrong_feature_names_list_the_existing_ones(tmp_path):
    path = write_records(tmp_path / 'a.tfrecord', pets(3))

    message = r'has no feature image/encoded; its features: file, jpeg, kind$'
    with pytest.raises(DataError, match=message):
        TfrecordSource(path, FeatureNames(), CLASSES)


def test_reading_goes_on_after_wrong_checksum(tmp_path):
    path = write_records(tmp_path / 'a.tfrecord', pets(3))
    damage(path, ONE + HEAD)

    first, bad, last = images_of(path)

    assert bad == BadImage('a.tfrecord:1', 'damaged', 'the checksum of its record is wrong')
    assert (first.contents, last.contents) == (b'0', b'2')


def test_reading_goes_on_after_too_large_record(tmp_path, monkeypatch):
    large = example(jpeg=bytes(3000), kind=1)
    path = write_records(tmp_path / 'a.tfrecord', [pets(1)[0], large, pets(1)[0]])
    monkeypatch.setattr(record_files, '_LARGEST', 2000)

    first, bad, last = images_of(path)

    assert bad == BadImage('a.tfrecord:1', 'too large', f'its record has {len(large):,} bytes')
    assert first.contents == last.contents == b'0'


@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('kept', [1, HEAD - 1, HEAD, HEAD + 9, ONE - 1])
def test_last_record_of_truncated_file_is_bad(tmp_path, compressed, kept):
    records = write_records(tmp_path / 'whole', pets(3)).read_bytes()[: 2 * ONE + kept]
    path = tmp_path / 'a.tfrecord'
    path.write_bytes(gzip.compress(records)[:-8] if compressed else records)

    source = TfrecordSource(path, NAMES, CLASSES)
    *good, bad = every_image(source)

    assert source.count == 3
    assert [image.contents for image in good] == [b'0', b'1']
    detail = f'the file ends in its record, which begins at byte {2 * ONE}'
    assert bad == BadImage('a.tfrecord:2', 'truncated', detail)


def test_too_large_truncated_record_is_bad(tmp_path, monkeypatch):
    path = write_records(tmp_path / 'a.tfrecord', [pets(1)[0], example(jpeg=bytes(3000), kind=1)])
    path.write_bytes(path.read_bytes()[:-9])
    monkeypatch.setattr(record_files, '_LARGEST', 2000)

    _, bad = images_of(path)

    assert bad.reason == 'truncated'


@pytest.mark.parametrize('contents', [b'hello', b'PAR1 is not what these begin with', bytes(99)])
def test_other_file_is_refused(tmp_path, contents):
    path = tmp_path / 'a.tfrecord'
    path.write_bytes(contents)

    message = f'^{re.escape(str(path))} is not a TFRecord file: no record begins at byte 0$'
    with pytest.raises(DataError, match=message):
        TfrecordSource(path, NAMES, CLASSES)


def test_damaged_header_is_reported_with_its_offset(tmp_path):
    path = write_records(tmp_path / 'a.tfrecord', pets(2))
    damage(path, ONE)

    with pytest.raises(DataError, match=rf'is damaged: no record begins at byte {ONE}$'):
        TfrecordSource(path, NAMES, CLASSES)


def test_damaged_gzip_is_refused(tmp_path):
    path = write_records(tmp_path / 'a.tfrecord', pets(500), 'GZIP')
    contents = path.read_bytes()
    half = len(contents) // 2
    path.write_bytes(contents[:half] + b'\xff' * half)

    with pytest.raises(DataError, match=r'is damaged: (it cannot be decompressed|no record beg)'):
        TfrecordSource(path, NAMES, CLASSES)


def test_missing_path_files_or_records_are_reported(tmp_path):
    (tmp_path / 'empty').mkdir()
    empty = write_records(tmp_path / 'a.tfrecord', [])
    for path, message in (
        (tmp_path / 'nowhere', 'nowhere does not exist; give a TFRecord file, or a folder'),
        (tmp_path / 'empty', 'has no TFRecord files; expected names such as'),
        (empty, r'a\.tfrecord has no images: it has no records$'),
    ):
        with pytest.raises(DataError, match=message):
            TfrecordSource(path, NAMES, CLASSES)


def test_file_changed_after_listing_is_refused(tmp_path):
    path = write_records(tmp_path / 'a.tfrecord', pets(600))
    source = TfrecordSource(path, NAMES, CLASSES)

    path.write_bytes(path.read_bytes()[:ONE])
    for shard in source.shards():
        with pytest.raises(DataError, match=r'a\.tfrecord changed while it was read: it '):
            list(shard.images())
    path.unlink()
    with pytest.raises(DataError, match=r'a\.tfrecord cannot be read: No such file'):
        list(every_image(source))


def test_fingerprint_changes_with_files(tmp_path):
    def fingerprint():
        return TfrecordSource(tmp_path, NAMES, CLASSES).fingerprint

    write_records(tmp_path / 'a.tfrecord', pets(2))
    first = fingerprint()
    assert fingerprint() == first
    write_records(tmp_path / 'b.tfrecord', pets(2))
    second = fingerprint()
    write_records(tmp_path / 'b.tfrecord', pets(3))
    assert len({first, second, fingerprint()}) == 3
