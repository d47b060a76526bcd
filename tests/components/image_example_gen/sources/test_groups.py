"""`data.group_by`: the group of each image of a source."""

import pickle
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tfrecord_files import example, write_tfrecord

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import every_image
from components.image_example_gen.sources.open_source import make_source
from components.image_example_gen.sources.spans import open_window

CLASSES = ('cats', 'dogs')


@pytest.fixture
def groups(tmp_path):
    """`groups(source, **group_by)`: the group of each image of a source at `tmp_path / source`."""

    def read(source, features=None, **group_by):
        config = DataConfig(
            source=source,
            path=tmp_path / source,
            group_by=group_by,
            classes=CLASSES,
            features=features or {},
        )
        shards = pickle.loads(pickle.dumps(make_source(config).shards()))
        return [image.group for shard in shards for image in shard.images()]

    return read


@pytest.mark.parametrize(
    ('group_by', 'expected'),
    [
        ({'folder': 1}, [None, 'anna', 'anna', 'ben', 'anna']),
        ({'folder': 2}, [None, None, 'anna/day2', None, 'anna/day1']),
        ({'pattern': '^([a-z]+)_'}, ['film', None, 'film', 'walk', 'walk']),
        ({'pattern': r'\d+(_x)?\.'}, [None, None, None, None, None]),
    ],
)
@pytest.mark.parametrize('divided', [False, True])
def test_groups_of_files(tmp_path, groups, group_by, expected, divided):
    names = ['film_1', 'anna/2', 'anna/day2/film_3', 'ben/walk_4', 'anna/day1/walk_5']
    for part in ('train', 'validation') if divided else ('',):
        for label, name in zip((0, 0, 0, 0, 1), names, strict=True):
            file = tmp_path / 'folder' / part / CLASSES[label] / f'{name}.jpg'
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        (tmp_path / 'folder' / part / 'dogs' / '9.jpg').touch()

    found = groups('folder', **group_by)

    assert sorted(map(str, found)) == sorted(map(str, [*expected, None] * (2 if divided else 1)))


def test_groups_of_an_archive_and_of_spans(tmp_path, groups):
    names = ['cats/anna/1.jpg', 'dogs/anna/2.jpg', 'dogs/3.jpg']
    with zipfile.ZipFile(tmp_path / 'archive', 'w') as archive:
        for name in names:
            archive.writestr(name, b'')
    for span in ('span-1', 'span-2'):
        for name in names:
            (tmp_path / 'spans' / span / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / 'spans' / span / name).touch()
    config = DataConfig(source='folder', path=tmp_path / 'spans', window=2, group_by={'folder': 1})

    assert groups('archive', folder=1) == ['anna', None, 'anna']
    for span in open_window(config):
        assert [image.group for image in every_image(span.source)] == ['anna', None, 'anna']


def write_parquet(folder, **columns):
    folder.mkdir()
    struct = pa.struct([('bytes', pa.binary()), ('path', pa.string())])
    images = [{'bytes': b'%d' % n, 'path': f'scans/p{n % 2}-{n}.jpg'} for n in range(3)]
    table = pa.table({'image': pa.array(images, struct), 'label': [0, 1, 0], **columns})
    pq.write_table(table, folder / 'a.parquet')


@pytest.mark.parametrize(
    ('values', 'expected'),
    [([7, 7, None], ['7', '7', None]), (['a', '', 'b'], ['a', None, 'b'])],
)
def test_groups_of_a_parquet_column(tmp_path, groups, values, expected):
    write_parquet(tmp_path / 'parquet', subject=values)

    assert groups('parquet', column='subject') == expected


def test_groups_of_file_names_in_parquet(tmp_path, groups):
    write_parquet(tmp_path / 'parquet')

    assert groups('parquet', pattern='^(p.)-') == ['p0', 'p1', 'p0']


@pytest.mark.parametrize(
    ('column', 'message'),
    [
        ('patient', 'has no column patient of data.group_by; its columns: image, label, weight$'),
        ('weight', 'has a column weight of double; data.group_by needs text or integers$'),
    ],
)
def test_unsuitable_column_is_an_error(tmp_path, groups, column, message):
    write_parquet(tmp_path / 'parquet', weight=[0.5, 1.5, 2.5])

    with pytest.raises(DataError, match=message):
        groups('parquet', column=column)


@pytest.mark.parametrize(
    ('group_by', 'expected'),
    [
        ({'column': 'film'}, ['f0', 'f1', 'f0', None]),
        ({'column': 'take'}, ['5', '5', '5', None]),
        ({'pattern': '^(.)'}, ['0', '1', '2', None]),
    ],
)
def test_groups_of_tfrecords(tmp_path, groups, group_by, expected):
    keys = {'image/encoded': b'x', 'image/class/label': 0}
    rows = [{'film': b'f%d' % (n % 2), 'take': 5, 'name': b'a/%d.jpg' % n} for n in range(3)]
    records = [example(**keys, **row) for row in (*rows, {})]
    write_tfrecord(tmp_path / 'tfrecord' / 'a.tfrecord', records)

    assert groups('tfrecord', {'filename': 'name'}, **group_by) == expected
