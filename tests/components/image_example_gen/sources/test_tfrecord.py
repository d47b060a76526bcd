"""Features of `tf.Example`s, damaged records, and records of ImageExampleGen."""

import gzip
import pickle

import pytest
from tfrecord_files import example, write_tfrecord

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    every_image,
)
from components.image_example_gen.sources.tfrecord import TfrecordSource

NAMES = {'image': 'jpeg', 'label': 'kind', 'filename': 'file'}
CLASSES = ('cat', 'dog')
HEAD, TAIL = 12, 4  # bytes around the payload of a record


def pets(count: int) -> list[bytes]:
    return [example(jpeg=b'%d' % n, kind=n % 2, file=b'pet-%d.jpg' % n) for n in range(count)]


ONE = HEAD + len(pets(1)[0]) + TAIL  # length of a record


def source_of(path, classes=CLASSES, **keys):
    config = {'features': NAMES, 'classes': classes, **keys}
    return TfrecordSource(DataConfig(source='tfrecord', path=path, **config))


@pytest.fixture
def read(tmp_path):
    """`read(records, **keys)` writes a file of them, or of bytes, and returns its images."""

    def read(records, classes=CLASSES, **keys):
        path = tmp_path / 'a.tfrecord'
        if isinstance(records, bytes):
            path.write_bytes(records)
        else:
            write_tfrecord(path, records)
        return [*every_image(source_of(path, classes, **keys))]

    return read


@pytest.fixture
def three(tmp_path) -> bytes:
    """The contents of a file of three records."""
    return write_tfrecord(tmp_path / 'three', pets(3)).read_bytes()


@pytest.mark.parametrize(('compression', 'sizes'), [('', [300, 300]), ('GZIP', [600])])
def test_reads_every_image_once_and_divides_uncompressed_files(tmp_path, compression, sizes):
    source = source_of(write_tfrecord(tmp_path / 'records', pets(600), compression))

    parts = [[*shard.images()] for shard in pickle.loads(pickle.dumps(source.shards()))]

    assert (source.classes, source.count, [len(part) for part in parts]) == (CLASSES, 600, sizes)
    assert [image for part in parts for image in part] == [
        LabelledImage(b'%d' % n, n % 2, f'records:{n} (pet-{n}.jpg)', source='records')
        for n in range(600)
    ]


def test_folder_is_searched_by_file_name(tmp_path):
    sharded = ['d-00000-of-00002', 'd-00001-of-00002.gz', 'e.tfrecord-00000-of-00001']
    wanted = ['a.tfrecord', 'b.TFRecords', 'c.tfrec', *sharded, 'f/a.tfrecord.gz']
    for name in [*wanted, 'other.txt', '.hidden.tfrecord', '.cache/a.tfrecord']:
        write_tfrecord(tmp_path / name, pets(2), 'GZIP' if name.endswith('gz') else '')

    images = every_image(source_of(tmp_path))

    assert sorted({image.filename.partition(':')[0] for image in images}) == sorted(wanted)


@pytest.mark.parametrize(
    ('labels', 'classes', 'expected'),
    [
        ((b'fox', b'cat', b'owl'), None, [1, 0, 2]),
        ((b'fox', b'cat', b'owl'), ('Fox', 'cat'), [0, 1, 'unknown class']),
        ((1.0, 2.0), CLASSES, [0, 1]),
        ((1, 2), None, [0, 1]),
        ((0, 1, b'\xff', b''), CLASSES, [0, 1, *['label outside the list'] * 2]),
    ],
)
def test_kinds_of_labels(read, labels, classes, expected):
    images = read([example(jpeg=b'a', kind=label) for label in labels], classes)
    assert [
        getattr(each, 'label', None) or getattr(each, 'reason', 0) for each in images
    ] == expected


def test_numbers_have_the_names_of_another_feature(read):
    records = [example(jpeg=b'%d' % n, kind=n, text=b'abc'[n - 1 : n]) for n in (3, 1, 2)]
    images = read(records, ('C', 'b'), features={**NAMES, 'text': 'text'})
    assert [getattr(image, 'label', None) for image in images] == [0, None, 1]


def test_feature_of_parts(read):
    records = [example(jpeg=b'1', kind=n % 2, use=(b'train', b'test')[n // 2]) for n in range(4)]
    images = read(records, features={**NAMES, 'split': 'use'})
    assert [image.part for image in images] == ['train_and_eval'] * 2 + ['test'] * 2


def test_long_texts_are_cut(read):
    long = b'x' * 100_000
    records = [*pets(2), example(jpeg=b'1', kind=1, file=long, owner=long)]

    *_, image = read(records, group_by={'column': 'owner'})

    assert len(image.group) == 4096
    assert image.filename == f'a.tfrecord:2 ({"x" * 4096})'


@pytest.mark.parametrize(
    ('record', 'detail'),
    [
        (example(jpeg=b'a'), 'its record has no feature kind; its features: jpeg'),
        (example(), 'its record has no feature jpeg; its features: none'),
        (example(jpeg=[b'a', b'b'], kind=1), 'its feature jpeg has 2 values; expected one'),
        (example(jpeg=[], kind=1), 'its feature jpeg has 0 values; expected one'),
        (example(jpeg=5, kind=1), 'its feature jpeg is int; expected bytes'),
        (b'hello', 'its record is not a tf.Example, or a huge one'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_invalid_record_is_bad(read, record, detail):
    bad, *good = read([record, *pets(2)])

    assert bad == BadImage('a.tfrecord:0', 'unreadable', detail)
    assert [image.label for image in good] == [0, 1]


def test_reading_goes_on_after_wrong_checksum(read, three):
    bad, *good = read(three[:HEAD] + b'?' + three[HEAD + 1 :])

    assert (bad.filename, bad.reason) == ('a.tfrecord:0', 'damaged')
    assert [image.contents for image in good] == [b'1', b'2']


def test_reading_goes_on_after_too_large_record(read):
    large = example(jpeg=bytes(3 * 2**20), kind=1)

    first, bad, last = read([pets(1)[0], large, pets(2)[1]], checks={'max_megabytes': 1})

    assert (bad.filename, bad.reason) == ('a.tfrecord:1', 'too large')
    assert (first.contents, last.contents) == (b'0', b'1')


@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('kept', [1, HEAD - 1, HEAD, HEAD + 9, ONE - 1])
def test_last_record_of_truncated_file_is_bad(read, three, compressed, kept):
    contents = three[: 2 * ONE + kept]

    *good, bad = read(gzip.compress(contents)[:-8] if compressed else contents)

    assert [image.contents for image in good] == [b'0', b'1']
    assert (bad.filename, bad.reason) == ('a.tfrecord:2', 'truncated')


@pytest.mark.parametrize(
    ('records', 'message'),
    [
        ([], 'has no images'),
        ([example(a=1, b=b'')], 'has no example that .* no feature jpeg; its features: a'),
        (b'hello', 'is not a TFRecord file: no record begins at byte 0'),
        (b'PAR1 is not what these begin with', 'is not a TFRecord file'),
        (gzip.compress(b'', mtime=0)[:10] + b'\xff' * 99, 'is damaged: it cannot be decompressed'),
        (gzip.compress(b'', mtime=0)[:-8] + b'\xff' * 8, 'is damaged: it cannot be decompressed'),
    ],
)
def test_unusable_file_is_refused(read, records, message):
    with pytest.raises(DataError, match=rf'a\.tfrecord {message}'):
        read(records)


def test_damaged_header_is_reported_with_its_offset(read, three):
    with pytest.raises(DataError, match=rf'is damaged: no record begins at byte {ONE}$'):
        read(three[:ONE] + b'?' + three[ONE + 1 :])


def test_file_changed_after_listing_is_refused(tmp_path):
    path = write_tfrecord(tmp_path / 'a.tfrecord', pets(600))
    source = source_of(path)

    path.write_bytes(path.read_bytes()[:ONE])
    for shard in source.shards():
        with pytest.raises(DataError, match=r'a\.tfrecord changed while it was read: it '):
            [*shard.images()]
    path.unlink()
    with pytest.raises(DataError, match=r'a\.tfrecord cannot be read: No such file'):
        [*every_image(source)]


def test_record_of_many_features_is_bad_or_its_file_is_refused(read):
    entries = b'\x0a\x00' * 2**24  # 32 MB, as objects a gigabyte
    length = bytes([0x80, 0x80, 0x80, 0x10])  # 2**25

    try:
        *good, bad = read([*pets(2), b'\x0a' + length + entries])
    except DataError:  # some parsers crash without memory, which costs the file
        return

    assert [image.label for image in good] == [0, 1]
    assert bad.reason == 'unreadable'
