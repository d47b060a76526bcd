"""Columns or features, labels, shards and damage of Parquet files and TFRecords."""

import gzip
import os
import pickle
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from record_files import example, write_parquet, write_records, write_tfrecord

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import BadImage, every_image
from components.image_example_gen.sources.parquet import read_rows
from components.image_example_gen.sources.spans import make_source

BOTH = ['parquet', 'tfrecord']
NO_LABEL = 'label outside the list'
AB = {'classes': ['a', 'b']}
# A column of images of the library `datasets`.
IMAGE = pa.struct([('bytes', pa.binary()), ('path', pa.string())])


def source_of(kind, path, **keys):
    return make_source(DataConfig(source=kind, path=path, **keys))


def read(kind, path, **keys):
    """The class, or the reason, of each image."""
    source = source_of(kind, path, **keys)
    return [
        each.reason if isinstance(each, BadImage) else source.classes[each.label]
        for each in every_image(source)
    ]


@pytest.mark.parametrize(
    ('kinds', 'labels', 'keys', 'expected'),
    [
        (BOTH, [0, 1, 2, -1], AB, ['a', 'b', NO_LABEL, NO_LABEL]),
        (BOTH, [1, 2], {}, ['1', '2']),
        (BOTH, [1.0, 2.0], AB, ['a', 'b']),
        (BOTH, ['b', 'a'], {}, ['b', 'a']),
        (BOTH, ['fox', 'cat', 'owl'], {'classes': ['Fox', 'cat']}, ['Fox', 'cat', 'unknown class']),
        (['parquet'], [0, 1, None], AB, ['a', 'b', NO_LABEL]),
        (['parquet'], [0.0, 1.0, float('nan')], AB, ['a', 'b', NO_LABEL]),
        (['parquet'], [False, True], {'classes': {False: 'a', True: 'b'}}, ['a', 'b']),
        (['tfrecord'], [0, 1, b'\xff', ''], AB, ['a', 'b', 'unreadable', 'unreadable']),
    ],
)
def test_kinds_of_labels(tmp_path, kinds, labels, keys, expected):
    for kind in kinds:
        columns = {'image': [b'a'] * len(labels), 'label': labels}
        assert read(kind, write_records(kind, tmp_path / kind, **columns), **keys) == expected
    if 'parquet' in kinds:
        columns['label'] = pa.array(labels).dictionary_encode()
        path = write_parquet(tmp_path / 'encoded', **columns)
        assert read('parquet', path, **keys) == expected


@pytest.mark.parametrize(
    'columns',
    [
        {'picture': 'a.jpg', 'label': 0},
        {'image': {'path': 'a'}, 'label': 0},
        {'image': b'a', 'kind': 0},
        {'image': b'a', 'label': [0, 1]},
    ],
)
def test_missing_column_is_an_error_that_lists_the_columns(tmp_path, columns):
    write_parquet(tmp_path / 'a.parquet', **{name: [value] for name, value in columns.items()})
    with pytest.raises(DataError, match=rf'it has {next(iter(columns))} \(.*set data.columns'):
        source_of('parquet', tmp_path)


@pytest.mark.parametrize('kind', BOTH)
@pytest.mark.parametrize(
    ('values', 'column', 'expected'),
    [
        ('train train test test', 'split', ['train_and_eval'] * 2 + ['test'] * 2),
        ('train train test test', 'use', ['train_and_eval'] * 2 + ['test'] * 2),
        ('indoor indoor outdoor outdoor', 'split', [None] * 4),
    ],
)
def test_column_of_parts(tmp_path, kind, values, column, expected):
    columns = {'image': [b'1'] * 4, 'label': [*'abab'], column: values.split()}
    path = write_records(kind, tmp_path / 'a', **columns)
    keys = {'columns': {'split': column}} if column == 'use' else {}
    assert [each.part for each in every_image(source_of(kind, path, **keys))] == expected


@pytest.mark.parametrize('kind', BOTH)
def test_column_of_other_values_leaves_the_parts_of_the_files(tmp_path, kind):
    for part in ('train', 'test'):
        columns = {'image': [b'a', b'b'], 'label': ['a', 'b'], 'set': ['indoor', 'outdoor']}
        write_records(kind, tmp_path / f'{part}.{kind}', **columns)

    parts = [image.part for image in every_image(source_of(kind, tmp_path))]
    assert parts == ['test'] * 2 + ['train_and_eval'] * 2


def test_records_may_have_paths_and_names_of_labels(tmp_path):
    images = [{'bytes': b'a', 'path': 'x/a1.jpg'}, {'bytes': b'b'}, None, {'path': 'b.jpg'}]
    columns = {'image': pa.array(images, IMAGE), 'label': [1, 2, 1, 1]}
    in_parquet = write_parquet(tmp_path / 'a.parquet', ('', 'cat', 'dog'), **columns)
    rows = [
        (b'a', 1, 'cat', 'x/a1.jpg'),
        (b'b', 2, 'dog', ''),
        ([], 1, 'cat', ''),
        (None, 1, 'cat', 'b.jpg'),
    ]
    in_records = tmp_path / 'a.tfrecord'
    names = 'image/encoded', 'image/class/label', 'image/class/text', 'image/filename'
    write_tfrecord(in_records, [example(**dict(zip(names, row, strict=True))) for row in rows])

    for kind, path in (('parquet', in_parquet), ('tfrecord', in_records)):
        source = source_of(kind, path, group_by={'pattern': r'(\d)'})
        one, other, missing, empty = every_image(source)
        assert source.classes == ('cat', 'dog')
        assert (one.contents, one.filename, one.group) == (b'a', f'a.{kind}:0 (x/a1.jpg)', '1')
        assert (other.contents, other.filename, other.group) == (b'b', f'a.{kind}:1', None)
        assert (missing.filename, missing.reason) == (f'a.{kind}:2', 'unreadable')
        assert (empty.filename, empty.reason) == (f'a.{kind}:3 (b.jpg)', 'unreadable')


@pytest.mark.parametrize('kind', BOTH)
def test_too_large_images_are_bad(tmp_path, kind):
    images = [bytes(3 * 2**20), b'a', b'b']
    path = write_records(kind, tmp_path / 'a', image=images, label=[*'aab'])
    assert read(kind, path, checks={'max_megabytes': 1}) == ['too large', 'a', 'b']


@pytest.mark.parametrize(('kind', 'rows', 'number'), [
    *(('parquet', rows, 3) for rows in (1, 100, 1000, 1200)),
    ('tfrecord', '', 3),
    ('tfrecord', 'GZIP', 3),
])  # fmt: skip
def test_shards_of_a_file_have_each_image_once(tmp_path, kind, rows, number):
    images, labels = [b'%d' % n for n in range(1200)], [*'ab'] * 600
    if kind == 'parquet':  # joins and divides row groups
        path = write_parquet(tmp_path / 'a', rows_in_group=rows, image=images, label=labels)
    else:
        pairs = zip(images, labels, strict=True)
        path = write_tfrecord(tmp_path / 'a', [example(image=i, label=k) for i, k in pairs], rows)

    parts = [[*shard.images()] for shard in source_of(kind, path).shards()]
    assert [len(part) for part in parts] == [1200 // number] * number
    found = [(image.contents, image.filename) for part in parts for image in part]
    assert found == [(b'%d' % n, f'a:{n}') for n in range(1200)]


def test_files_may_number_the_classes_differently(tmp_path):
    write_parquet(tmp_path / 'a.parquet', ['cat', 'dog'], image=[b'a'], label=[0])
    write_parquet(tmp_path / 'b.parquet', ['dog', 'cat'], image=[b'a'], label=[0])
    assert read('parquet', tmp_path) == ['cat', 'dog']


def test_folder_of_records_is_searched_by_file_name(tmp_path):
    sharded = ['d-00000-of-00002', 'd-00001-of-00002.gz', 'e.tfrecord-00000-of-00001']
    wanted = ['a.tfrecord', 'b.TFRecords', 'c.tfrec', *sharded, 'f/a.tfrecord.gz']
    for name in [*wanted, 'other.txt', '.hidden.tfrecord', '.cache/a.tfrecord']:
        pets = [example(image=b'a', label=label) for label in 'ab']
        write_tfrecord(tmp_path / name, pets, 'GZIP' if name.endswith('gz') else '')

    images = every_image(source_of('tfrecord', tmp_path))
    assert sorted({image.filename.partition(':')[0] for image in images}) == sorted(wanted)


def test_damaged_and_other_files_are_errors(tmp_path):
    images = [random.Random(seed).randbytes(999) for seed in range(3)]  # incompressible
    path = write_records('tfrecord', tmp_path / 'a', image=images, label=[*'aba'])
    contents = path.read_bytes()
    for damaged in (
        contents[:20] + b'?' + contents[21:],
        contents[:-9],
        gzip.compress(contents)[:-20],
        gzip.compress(b'', mtime=0)[:10] + b'\xff' * 99,
        b'',
        b'PAR1 is not what these begin with',
    ):
        path.write_bytes(damaged)
        for kind in BOTH if damaged else ['parquet']:
            with pytest.raises(DataError, match=r'a cannot be read: \S.*$'):
                source_of(kind, path)
    write_tfrecord(path, [b'is no example', example(image=b'a', label='a')])
    with pytest.raises(DataError, match=r'a cannot be read: \S.*$'):
        source_of('tfrecord', path)
    write_tfrecord(path, [example(x=1, y=b'')])
    with pytest.raises(DataError, match=r'a .* data\.columns; its features: x, y'):
        source_of('tfrecord', path)


@pytest.mark.parametrize('kind', BOTH)
def test_file_changed_after_listing_is_an_error(tmp_path, kind):
    path = write_records(kind, tmp_path / 'a', image=[b'a'] * 600, label=[*'ab'] * 300)
    source = source_of(kind, path)

    write_records(kind, path, image=[b'a'], label=['a'])
    for shard in source.shards():
        with pytest.raises(DataError, match='a changed while it was read'):
            [*shard.images()]
    path.unlink()
    with pytest.raises(DataError, match=r'a cannot be read: .*No such file'):
        [*every_image(source)]


class CreatesFolder(str):
    """A path whose pickle, when it is loaded, creates a folder."""

    def __reduce__(self):
        return os.mkdir, (str(self),)


@pytest.mark.filterwarnings('ignore:.*PyExtensionType:RuntimeWarning')
@pytest.mark.filterwarnings('ignore:.*PyExtensionType:FutureWarning')
def test_pickled_type_is_not_loaded(tmp_path):
    pickled_type = {
        'ARROW:extension:name': 'arrow.py_extension_type',
        'ARROW:extension:metadata': pickle.dumps(CreatesFolder(tmp_path / 'created')),
    }
    fields = [pa.field('image', pa.binary(), metadata=pickled_type), pa.field('label', pa.int64())]
    pq.write_table(pa.table([[b'a'], [0]], schema=pa.schema(fields)), tmp_path / 'a.parquet')

    with pytest.raises(DataError):
        source_of('parquet', tmp_path / 'a.parquet')
    assert not (tmp_path / 'created').exists()


def test_memory_does_not_grow_with_number_of_images(tmp_path):
    table = pa.table({'image': [bytes(20_000)] * 2000, 'label': [0, 1] * 1000})  # one row group
    options = {'compression': 'none', 'use_dictionary': False, 'write_batch_size': 50}
    pq.write_table(table, tmp_path / 'a.parquet', **options)
    del table
    before = pa.total_allocated_bytes()

    rows = read_rows(tmp_path / 'a.parquet', DataConfig(source='parquet'), range(2000))
    allocated = [pa.total_allocated_bytes() - before for _ in rows]
    assert len(allocated) == 2000
    assert max(allocated) < 10 * 2**20
