"""Features of `tf.Example`s, and damaged files."""

import gzip
import random

import pytest
from tfrecord_files import example, write_tfrecord

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import LabelledImage, every_image
from components.image_example_gen.sources.spans import make_source

NAMES = {'image': 'jpeg', 'label': 'kind'}
CLASSES = ('cat', 'dog')


def pets(count: int) -> list[bytes]:
    return [example(jpeg=b'%d' % n, kind=n % 2, filename=b'pet-%d.jpg' % n) for n in range(count)]


def source_of(path, **keys):
    keys = {'columns': NAMES, 'classes': CLASSES, **keys}
    return make_source(DataConfig(source='tfrecord', path=path, **keys))


@pytest.fixture
def read(tmp_path):
    """`read(records, **keys)` writes a file of them, or of bytes, and returns its images."""

    def read(records, **keys):
        path = tmp_path / 'a.tfrecord'
        if isinstance(records, bytes):
            path.write_bytes(records)
        else:
            write_tfrecord(path, records)
        return [*every_image(source_of(path, **keys))]

    return read


@pytest.mark.parametrize('compression', ['', 'GZIP'])
def test_shards_of_a_file_have_each_image_once(tmp_path, compression):
    source = source_of(write_tfrecord(tmp_path / 'records', pets(600), compression))

    shards = [[*shard.images()] for shard in source.shards()]
    assert [len(images) for images in shards] == [300, 300]
    assert [image for images in shards for image in images] == [
        LabelledImage(b'%d' % n, n % 2, f'records:{n} (pet-{n}.jpg)') for n in range(600)
    ]


def test_folder_is_searched_by_file_name(tmp_path):
    sharded = ['d-00000-of-00002', 'd-00001-of-00002.gz', 'e.tfrecord-00000-of-00001']
    wanted = ['a.tfrecord', 'b.TFRecords', 'c.tfrec', *sharded, 'f/a.tfrecord.gz']
    for name in [*wanted, 'other.txt', '.hidden.tfrecord', '.cache/a.tfrecord']:
        write_tfrecord(tmp_path / name, pets(2), 'GZIP' if name.endswith('gz') else '')

    images = every_image(source_of(tmp_path))
    assert sorted({image.filename.partition(':')[0] for image in images}) == sorted(wanted)


@pytest.mark.parametrize(
    ('names', 'labels', 'keys', 'expected'),
    [
        ('jpeg kind', (b'fox', b'cat', b'x'), {'classes': ('Fox', 'cat')}, [0, 1, 'unknown class']),
        ('jpeg kind', (1.0, 2.0), {}, [0, 1]),
        ('jpeg kind', (1, 2), {'classes': None}, [0, 1]),
        ('jpeg kind', (0, 1, b'\xff', b''), {}, [0, 1, *['unreadable'] * 2]),
        ('image/encoded image/class/label', (0, 1), {'columns': {}}, [0, 1]),
        ('image fine_label', (0, 1), {'columns': {}}, [0, 1]),
    ],
)  # fmt: skip
def test_names_of_features_and_kinds_of_labels(read, names, labels, keys, expected):
    image, kind = names.split()
    found = read([example(**{image: b'a', kind: label}) for label in labels], **keys)
    labels = [getattr(each, 'label', None) or getattr(each, 'reason', 0) for each in found]
    assert labels == expected


def test_numbers_have_the_names_of_another_feature(read):
    records = [
        example(**{'jpeg': b'%d' % n, 'kind': n, 'image/class/text': b'abc'[n - 1 : n]})
        for n in (3, 1, 2)
    ]
    images = read(records, classes=('C', 'b'))
    assert [getattr(image, 'label', None) for image in images] == [0, None, 1]


@pytest.mark.parametrize(('feature', 'columns'), [('split', {}), ('use', {'split': 'use'})])
def test_feature_of_parts_and_pattern_of_groups(read, feature, columns):
    records = [
        example(jpeg=b'1', kind=n % 2, filename=b'%d.jpg' % n, **{feature: part})
        for n, part in enumerate((b'train', b'train', b'test', b'test'))
    ]
    images = read(records, columns=NAMES | columns, group_by={'pattern': r'(\d)'})
    assert [image.part for image in images] == ['train_and_eval'] * 2 + ['test'] * 2
    assert [image.group for image in images] == [*'0123']


@pytest.mark.parametrize(
    ('record', 'reason'),
    [
        (example(jpeg=b'a'), 'unreadable'),
        (example(), 'unreadable'),
        (example(jpeg=[], kind=1), 'unreadable'),
        (example(jpeg=5, kind=1), 'unreadable'),
        (example(jpeg=bytes(3 * 2**20), kind=1), 'too large'),
    ],
    ids=['no label', 'nothing', 'no value', 'a number', 'too large'],
)
def test_example_without_usable_image_or_label_is_bad(read, record, reason):
    bad, *good = read([record, *pets(2)], checks={'max_megabytes': 1})

    assert (bad.filename, bad.reason) == ('a.tfrecord:0', reason)
    assert [image.label for image in good] == [0, 1]


def test_damaged_and_other_files_are_errors(read, tmp_path):
    images = [random.Random(seed).randbytes(999) for seed in range(3)]  # incompressible
    records = [example(jpeg=image, kind=1) for image in images]
    contents = write_tfrecord(tmp_path / 'three', records).read_bytes()
    damaged = [
        contents[:20] + b'?' + contents[21:],
        contents[:-9],
        gzip.compress(contents)[:-20],
        gzip.compress(b'', mtime=0)[:10] + b'\xff' * 99,
        b'PAR1 is not what these begin with',
        [b'is no example', *pets(2)],
    ]
    for records in damaged:
        with pytest.raises(DataError, match=r'a\.tfrecord cannot be read: \S.*$'):
            read(records)
    with pytest.raises(DataError, match=r'a\.tfrecord .* data\.columns; its features: a, b'):
        read([example(a=1, b=b'')])


def test_file_changed_after_listing_is_an_error(tmp_path):
    path = write_tfrecord(tmp_path / 'a.tfrecord', pets(600))
    source = source_of(path)

    write_tfrecord(path, pets(1))
    for shard in source.shards():
        with pytest.raises(DataError, match=r'a\.tfrecord changed while it was read'):
            [*shard.images()]
    path.unlink()
    with pytest.raises(DataError, match=r'a\.tfrecord cannot be read: .*No such file'):
        [*every_image(source)]
