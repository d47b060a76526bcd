"""Columns, labels and row groups of Parquet files."""

import os
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parquet_files import IMAGE, NAMES, write_parquet

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import BadImage, LabelledImage, every_image
from components.image_example_gen.sources.parquet import read_rows
from components.image_example_gen.sources.spans import make_source

NO_LABEL = 'label outside the list'


def source_of(path, **keys):
    return make_source(DataConfig(source='parquet', path=path, **keys))


def test_images_may_have_paths_and_lack_bytes(tmp_path):
    images = [{'bytes': b'a', 'path': 'x/a.jpg'}, {'bytes': b'b'}, None, {'path': 'b.jpg'}]
    images, label = pa.array(images, IMAGE), [0, 1, 0, 0]
    source = source_of(write_parquet(tmp_path / 'pets.parquet', NAMES, image=images, label=label))

    *good, missing, empty = every_image(source)
    assert good == [
        LabelledImage(b'a', 0, 'pets.parquet:0 (x/a.jpg)'),
        LabelledImage(b'b', 1, 'pets.parquet:1'),
    ]
    assert (missing.filename, missing.reason) == ('pets.parquet:2', 'unreadable')
    assert (empty.filename, empty.reason) == ('pets.parquet:3 (b.jpg)', 'unreadable')


@pytest.mark.parametrize(
    ('column', 'keys', 'expected'),
    [
        ([0, 1, 2, None, -1], {'classes': ['a', 'b']}, ['a', 'b', *[NO_LABEL] * 3]),
        ([0.0, 1.0, float('nan')], {'classes': ['a', 'b']}, ['a', 'b', NO_LABEL]),
        ([False, True], {'classes': {False: 'a', True: 'b'}}, ['a', 'b']),
        (['b', 'a', None], {}, ['b', 'a', NO_LABEL]),
    ],
)
@pytest.mark.parametrize('encoded', [False, True])
def test_kinds_of_labels(tmp_path, column, keys, expected, encoded):
    label = pa.array(column).dictionary_encode() if encoded else pa.array(column)
    write_parquet(tmp_path / 'a.parquet', image=[b'a'] * len(column), label=label)
    source = source_of(tmp_path, **keys)

    assert [
        each.reason if isinstance(each, BadImage) else source.classes[each.label]
        for each in every_image(source)
    ] == expected


@pytest.mark.parametrize(
    ('names', 'columns', 'label'),
    [
        (('img', 'fine_label'), {}, 'a'),
        (('pixels', 'Label'), {}, 'a'),  # the only column with bytes
        (('image', 'label', 'other'), {'label': 'other'}, 'c'),
    ],
)
def test_finds_columns_by_usual_names_or_recipe(tmp_path, names, columns, label):
    values = dict(zip(names, ([b'1', b'2'], ['a', 'b'], ['c', 'd']), strict=False))
    source = source_of(write_parquet(tmp_path / 'a.parquet', **values), columns=columns)

    assert source.classes[next(every_image(source)).label] == label


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
        source_of(tmp_path)


def test_files_may_number_the_classes_differently(tmp_path):
    write_parquet(tmp_path / 'a.parquet', ['cat', 'dog'], image=[b'a'], label=[0])
    write_parquet(tmp_path / 'b.parquet', ['dog', 'cat'], image=[b'a'], label=[0])

    source = source_of(tmp_path)
    assert [source.classes[image.label] for image in every_image(source)] == ['cat', 'dog']


def test_column_of_other_values_leaves_the_parts_of_the_files(tmp_path):
    for part in ('train', 'test'):
        columns = {'image': [b'a', b'b'], 'label': ['a', 'b'], 'set': ['indoor', 'outdoor']}
        write_parquet(tmp_path / f'{part}-00000-of-00001.parquet', **columns)

    parts = [image.part for image in every_image(source_of(tmp_path))]
    assert parts == ['test'] * 2 + ['train_and_eval'] * 2


@pytest.mark.parametrize('contents', [b'', b'PAR1 and no more of it'])
def test_other_file_is_an_error(tmp_path, contents):
    (tmp_path / 'a.parquet').write_bytes(contents)
    with pytest.raises(DataError, match=r'a\.parquet cannot be read: .*[Pp]arquet'):
        source_of(tmp_path)


@pytest.mark.parametrize('rows_in_group', [1, 100, 1000, 1200])
def test_shards_join_and_divide_row_groups(tmp_path, rows_in_group):
    columns = {'image': [b'%d' % n for n in range(1200)], 'label': [0, 1] * 600}
    write_parquet(tmp_path / 'a.parquet', NAMES, rows_in_group=rows_in_group, **columns)

    parts = [[*shard.images()] for shard in source_of(tmp_path).shards()]
    assert [len(part) for part in parts] == [400] * 3
    images = [(image.contents, image.filename) for part in parts for image in part]
    assert images == [(b'%d' % n, f'a.parquet:{n}') for n in range(1200)]


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
        source_of(tmp_path / 'a.parquet')
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
