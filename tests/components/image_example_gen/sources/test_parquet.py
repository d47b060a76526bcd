import json
import os
import pickle
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import DataError
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    every_image,
)
from components.image_example_gen.sources.parquet.reader import read_footer, read_rows
from components.image_example_gen.sources.parquet.source import ParquetSource

OUTSIDE, UNKNOWN = 'label outside the list', 'unknown class'
NAMES = ['cat', 'dog']
STRUCT = pa.struct([('bytes', pa.binary()), ('path', pa.string())])


def write(path: Path, images, labels, column='labels', names=NAMES) -> Path:
    """Writes a Parquet file in the format of the Hugging Face hub; class names are optional."""
    table = pa.table({'image': images, column: labels})
    if names:
        features = {'image': {'_type': 'Image'}, column: {'names': names, '_type': 'ClassLabel'}}
        metadata = {'huggingface': json.dumps({'info': {'features': features}})}
        table = table.replace_schema_metadata(metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def images_of(source):
    return list(every_image(source))


@pytest.fixture
def pets(tmp_path) -> Path:
    """A cat and a dog."""
    images = [{'bytes': b'a', 'path': 'a.jpg'}, {'bytes': b'b', 'path': 'b.jpg'}]
    return write(tmp_path / 'pets.parquet', pa.array(images, STRUCT), [0, 1])


@pytest.mark.parametrize('names', [None, ('fox', 'owl')])
def test_reads_images_with_classes_of_metadata_or_recipe(pets, names):
    source = ParquetSource(pets, names)

    assert (source.classes, source.count) == (names or ('cat', 'dog'), 2)
    assert images_of(source) == [
        LabelledImage(b'a', 0, 'pets.parquet:0 (a.jpg)', source='pets'),
        LabelledImage(b'b', 1, 'pets.parquet:1 (b.jpg)', source='pets'),
    ]


def test_folder_is_searched_at_any_depth_without_hidden_files(tmp_path):
    for name in ('b.parquet', 'a/z.parquet', '.c.parquet', '.cache/d.parquet', 'a/._z.parquet'):
        write(tmp_path / name, [b'a'], [0])
    (tmp_path / 'README.md').touch()

    source = ParquetSource(tmp_path)

    assert [image.filename for image in images_of(source)] == ['a/z.parquet:0', 'b.parquet:0']
    assert ParquetSource(tmp_path).fingerprint == source.fingerprint
    write(tmp_path / 'b.parquet', [b'a', b'b'], [0, 1])
    assert ParquetSource(tmp_path).fingerprint != source.fingerprint


@pytest.mark.parametrize(
    ('labels', 'names', 'wanted', 'classes', 'expected'),
    [
        ([0, 2, None, -1, 1], NAMES, None, ('cat', 'dog'), [0, OUTSIDE, OUTSIDE, OUTSIDE, 1]),
        ([0, 1, 2], ['cat', 'dog', 'fox'], ('fox', 'cat'), ('fox', 'cat'), [1, UNKNOWN, 0]),
        (['fox', 'cat', None], None, None, ('cat', 'fox'), [1, 0, OUTSIDE]),
        (['fox', 'cat', None], None, ('fox', 'owl'), ('fox', 'owl'), [0, UNKNOWN, OUTSIDE]),
        (['Ku\u0308he', 'cat'], None, ('K\u00fche', 'cat'), ('K\u00fche', 'cat'), [0, 1]),
    ],
)
@pytest.mark.parametrize('encoded', [False, True])
def test_labels_are_numbers_or_names(tmp_path, labels, names, wanted, classes, expected, encoded):
    array = pa.array(labels).dictionary_encode() if encoded else pa.array(labels)
    path = write(tmp_path / 'a.parquet', [b'a'] * len(labels), array, names=names)

    source = ParquetSource(path, wanted)

    assert source.classes == classes
    images = images_of(source)
    found = [each.reason if isinstance(each, BadImage) else each.label for each in images]
    assert found == expected


@pytest.mark.parametrize('metadata', [None, {'huggingface': '{'}, {'huggingface': '{"info": 1}'}])
def test_unnamed_classes_are_an_error(tmp_path, metadata):
    table = pa.table({'image': [b'a'], 'label': [0]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / 'a.parquet')

    with pytest.raises(DataError, match='does not name its classes; list them'):
        ParquetSource(tmp_path)


@pytest.mark.parametrize('wanted', [None, ('cat', 'dog')])
def test_files_with_different_classes_are_an_error(tmp_path, wanted):
    write(tmp_path / 'a.parquet', [b'a'], [0])
    write(tmp_path / 'b.parquet', [b'a'], [0], names=['dog', 'cat'])

    message = r'a\.parquet has 2 classes \(cat, dog\) but .*b\.parquet has 2 classes \(dog, cat\)'
    with pytest.raises(DataError, match=message):
        ParquetSource(tmp_path, wanted)


@pytest.mark.parametrize(
    ('wanted', 'hint'),
    [
        (('dog', 'dat'), r"lists 'dat'; did you mean 'cat'\?$"),
        (('dog', 'fox'), "lists 'fox'; select from these, or rename all$"),
        (('a', 'b', 'c'), "lists 'a'; "),
        (('cat',), r'1 class \(cat\); expected two or more'),
        (('cat', 'cat'), r'2 classes \(cat, cat\); expected two or more, all different'),
    ],
)
def test_unsuitable_classes_are_an_error(pets, wanted, hint):
    with pytest.raises(DataError, match=rf'pets\.parquet has .*{hint}'):
        ParquetSource(pets, wanted)


def test_missing_or_other_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r'a\.parquet does not exist; give a Parquet file'):
        ParquetSource(tmp_path / 'a.parquet')
    with pytest.raises(DataError, match=r'has no Parquet files; expected .*/\*\.parquet$'):
        ParquetSource(tmp_path)
    for contents in (b'', b'hello', b'PAR1 and no more of it'):
        (tmp_path / 'a.parquet').write_bytes(contents)
        with pytest.raises(DataError, match=r'a\.parquet is not a Parquet file$'):
            ParquetSource(tmp_path)
    write(tmp_path / 'a.parquet', pa.array([], pa.binary()), pa.array([], pa.int64()))
    with pytest.raises(DataError, match='has no images: it has no rows'):
        ParquetSource(tmp_path)


@pytest.mark.parametrize(
    ('columns', 'message'),
    [
        ({'picture': b'a', 'labels': 0}, 'has the columns picture, labels; expected image, and'),
        ({'image': b'a', 'class': 0}, 'has the columns image, class; expected image, and labels'),
        ({'image': 'a.jpg', 'label': 0}, 'has no bytes in its column image, which is string'),
        ({'image': {'path': 'a'}, 'label': 0}, 'has no bytes in its column image, which is struct'),
        ({'image': b'a', 'label': 0.5}, 'has a column label of double; expected integers or'),
    ],
)
def test_missing_or_unsuitable_column_is_an_error(tmp_path, columns, message):
    table = pa.table({name: [value] for name, value in columns.items()})
    pq.write_table(table, tmp_path / 'a.parquet')

    with pytest.raises(DataError, match=message):
        ParquetSource(tmp_path)


def test_row_without_bytes_is_bad(tmp_path):
    images = pa.array([None, {'bytes': None, 'path': 'b.jpg'}, {'bytes': b'c'}], STRUCT)

    *bad, good = images_of(ParquetSource(write(tmp_path / 'a.parquet', images, [0, 0, 1])))

    detail = 'the row has no bytes of an image'
    assert bad == [
        BadImage('a.parquet:0', 'unreadable', detail),
        BadImage('a.parquet:1', 'unreadable', f'{detail}, only the path b.jpg'),
    ]
    assert (good.contents, good.filename) == (b'c', 'a.parquet:2')


@pytest.mark.parametrize(
    ('group', 'shards'),
    [(100, [500, 500, 200]), (1000, [1000, 200]), (1200, [1200]), (1, [512, 512, 176])],
)
def test_shards_are_whole_row_groups(tmp_path, group, shards):
    table = pa.table({'image': [b'%d' % n for n in range(1200)], 'label': [0, 1] * 600})
    pq.write_table(table, tmp_path / 'a.parquet', row_group_size=group)
    source = ParquetSource(tmp_path, ('cat', 'dog'))

    parts = [list(shard.images()) for shard in pickle.loads(pickle.dumps(source.shards()))]

    assert [len(part) for part in parts] == shards
    images = [(image.contents, image.filename) for part in parts for image in part]
    assert images == [(b'%d' % n, f'a.parquet:{n}') for n in range(1200)]


def test_file_damaged_or_removed_after_listing_is_an_error(pets):
    source = ParquetSource(pets)
    pets.write_bytes(b'PAR1' + bytes(99) + b'PAR1')

    with pytest.raises(DataError, match=r'pets\.parquet cannot be read: \S'):
        images_of(source)
    pets.unlink()
    with pytest.raises(DataError, match=r'pets\.parquet cannot be read: .*No such file'):
        images_of(source)


class CreatesFolder:
    """An object whose pickle, when it is loaded, creates a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.filterwarnings('ignore:.*PyExtensionType:RuntimeWarning')  # does not load the pickle
@pytest.mark.filterwarnings('ignore:.*PyExtensionType:FutureWarning')
def test_file_with_pickled_type_is_an_error_and_runs_no_code(tmp_path):
    pickled_type = {
        'ARROW:extension:name': 'arrow.py_extension_type',
        'ARROW:extension:metadata': pickle.dumps(CreatesFolder(tmp_path / 'created')),
    }
    fields = [pa.field('image', pa.binary(), metadata=pickled_type), pa.field('labels', pa.int64())]
    path = tmp_path / 'a.parquet'
    pq.write_table(pa.table([[b'a'], [0]], schema=pa.schema(fields)), path)

    with pytest.raises(DataError, match=r'Disallowed deserialization|no bytes in its column image'):
        ParquetSource(path)
    assert not (tmp_path / 'created').exists()


def test_image_of_exactly_the_limit_is_read(tmp_path):
    path = write(tmp_path / 'pets.parquet', [b'x' * 100, b'y' * 101], [0, 1])

    image, too_large = images_of(ParquetSource(path, max_bytes=100))

    assert image.contents == b'x' * 100
    assert too_large.reason == 'too large'


def test_memory_does_not_grow_with_number_of_images(tmp_path):
    table = pa.table({'image': [bytes(20_000)] * 2000, 'labels': [0, 1] * 1000})  # one row group
    options = {'compression': 'none', 'use_dictionary': False, 'write_batch_size': 50}
    pq.write_table(table, tmp_path / 'a.parquet', **options)
    del table
    (table,) = read_footer(tmp_path / 'a.parquet', 'a.parquet', None)
    before = pa.total_allocated_bytes()

    rows = read_rows(table, [0], None, 20_000)
    allocated = [pa.total_allocated_bytes() - before for _ in rows]

    assert len(allocated) == 2000
    assert max(allocated) < 10 * 2**20
