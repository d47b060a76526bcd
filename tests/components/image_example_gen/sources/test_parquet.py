import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.errors import DataError
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    every_image,
)
from components.image_example_gen.sources.parquet import ParquetSource

NAMES = ['cat', 'dog']
STRUCT = pa.struct([('bytes', pa.binary()), ('path', pa.string())])


def metadata_of(names: list[str], column: str = 'labels') -> dict[str, str]:
    """The schema metadata that the library `datasets` writes."""
    features = {'image': {'_type': 'Image'}, column: {'names': names, '_type': 'ClassLabel'}}
    return {'huggingface': json.dumps({'info': {'features': features}})}


def write(path: Path, images, labels, column='labels', names=NAMES) -> Path:
    """Writes a Parquet file in the format of the Hugging Face hub; class names are optional."""
    table = pa.table({'image': images, column: labels})
    if names:
        table = table.replace_schema_metadata(metadata_of(names, column))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def images_of(source):
    return list(every_image(source))


@pytest.fixture(scope='module')
def jpegs(tmp_path_factory, make_image_folder) -> list[dict]:
    """Six images in structs, three of each class."""
    folder = make_image_folder(tmp_path_factory.mktemp('pets'), per_class=3)
    files = sorted(folder.rglob('*.jpg'))
    return [{'bytes': file.read_bytes(), 'path': file.name} for file in files]


@pytest.fixture
def pets(tmp_path, jpegs) -> Path:
    return write(tmp_path / 'pets.parquet', pa.array(jpegs, STRUCT), [0, 0, 0, 1, 1, 1])


def test_reads_class_names_and_count_from_metadata(pets):
    source = ParquetSource(pets)

    assert source.classes == ('cat', 'dog')
    assert source.count == 6


def test_yields_each_image_once_with_bytes_label_and_path(pets, jpegs):
    images = images_of(ParquetSource(pets))

    assert [image.contents for image in images] == [each['bytes'] for each in jpegs]
    assert [image.label for image in images] == [0, 0, 0, 1, 1, 1]
    assert images[4].filename == 'pets.parquet:4 (dogs-0-1.jpg)'


def test_supports_plain_bytes_and_column_label(tmp_path, jpegs):
    contents = [each['bytes'] for each in jpegs[:2]]
    path = write(tmp_path / 'a.parquet', contents, [1, 0], column='label')

    images = images_of(ParquetSource(path))

    assert [image.contents for image in images] == contents
    assert [image.label for image in images] == [1, 0]
    assert [image.filename for image in images] == ['a.parquet:0', 'a.parquet:1']


def test_folder_is_searched_at_any_depth_without_hidden_files(tmp_path, jpegs):
    for name in ('b.parquet', 'a/z.parquet', '.c.parquet', '.cache/d.parquet', 'a/._z.parquet'):
        write(tmp_path / name, pa.array(jpegs[:2], STRUCT), [0, 1])
    (tmp_path / 'README.md').touch()

    source = ParquetSource(tmp_path)

    places = [image.filename.split()[0] for image in images_of(source)]
    assert places == ['a/z.parquet:0', 'a/z.parquet:1', 'b.parquet:0', 'b.parquet:1']
    assert source.count == 4


def test_fingerprint_changes_when_a_file_is_added_or_changed(tmp_path, pets):
    fingerprints = [ParquetSource(tmp_path).fingerprint, ParquetSource(tmp_path).fingerprint]
    write(tmp_path / 'more.parquet', [b'a'], [0])
    fingerprints.append(ParquetSource(tmp_path).fingerprint)
    write(tmp_path / 'more.parquet', [b'a', b'b'], [0, 1])
    fingerprints.append(ParquetSource(tmp_path).fingerprint)

    assert fingerprints[0] == fingerprints[1]
    assert len(set(fingerprints)) == 3


def test_listed_classes_rename_those_of_the_file(pets):
    assert ParquetSource(pets, ('kitten', 'puppy')).classes == ('kitten', 'puppy')


@pytest.mark.parametrize('metadata', [None, {'huggingface': '{'}, {'huggingface': '{"info": 1}'}])
def test_unnamed_classes_are_an_error(tmp_path, metadata):
    table = pa.table({'image': [b'a'], 'label': [0]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / 'a.parquet')

    message = r'a\.parquet does not name its classes; list them .* --set data\.classes=\[cat,dog\]'
    with pytest.raises(DataError, match=message):
        ParquetSource(tmp_path / 'a.parquet')
    assert ParquetSource(tmp_path, ('cat', 'dog')).classes == ('cat', 'dog')


def test_files_with_different_classes_are_an_error(tmp_path):
    write(tmp_path / 'a.parquet', [b'a'], [0])
    write(tmp_path / 'b.parquet', [b'a'], [0], names=['dog', 'cat'])

    message = r'a\.parquet has 2 classes \(cat, dog\) but .*b\.parquet has 2 classes \(dog, cat\)'
    with pytest.raises(DataError, match=message):
        ParquetSource(tmp_path)


def test_label_numbers_follow_class_names_of_their_file(tmp_path):
    write(tmp_path / 'a.parquet', [b'cat', b'dog'], [0, 1])
    write(tmp_path / 'b.parquet', [b'dog', b'cat', b'fox'], [0, 1, 2], names=['dog', 'cat', 'fox'])

    source = ParquetSource(tmp_path, ('cat', 'dog'))

    *images, fox = images_of(source)
    labels = [(image.contents, image.label) for image in images]
    assert labels == [(b'cat', 0), (b'dog', 1), (b'dog', 1), (b'cat', 0)]
    assert (fox.reason, fox.contents) == ('label outside the list', b'fox')


@pytest.mark.parametrize(
    ('names', 'wanted', 'message'),
    [
        (
            None,
            ['cat', 'dog'],
            r'c\.parquet does not name its classes, and those of the other',
        ),
        (NAMES, ['katze', 'hund'], r"2 classes \(cat, dog\), but data\.classes lists 'katze'"),
    ],
)
def test_files_with_different_classes_cannot_be_renamed(tmp_path, names, wanted, message):
    write(tmp_path / 'a.parquet', [b'a'], [0])
    write(tmp_path / 'b.parquet', [b'a'], [0], names=['dog', 'cat'])
    write(tmp_path / 'c.parquet', [b'a'], [0], names=names)

    with pytest.raises(DataError, match=message):
        ParquetSource(tmp_path, tuple(wanted))


def test_files_may_mix_label_numbers_and_names(tmp_path):
    write(tmp_path / 'a.parquet', [b'cat', b'dog'], [0, 1])
    write(tmp_path / 'b.parquet', [b'fox', b'cat'], ['fox', 'cat'], names=None)

    images = images_of(ParquetSource(tmp_path, ('fox', 'cat', 'dog')))

    assert [image.label for image in images] == [1, 2, 0, 1]


def test_class_names_are_normalized(tmp_path):
    write(tmp_path / 'a.parquet', [b'a', b'b'], [0, 1], names=['cat', 'Ku\u0308he'])
    write(tmp_path / 'b.parquet', [b'c'], ['Ku\u0308he'], names=None)

    cat, *cows = images_of(ParquetSource(tmp_path, ('K\u00fche', 'cat')))

    assert (cat.label, [image.label for image in cows]) == (1, [0, 0])


@pytest.mark.parametrize(
    ('wanted', 'hint'),
    [
        (('dog', 'dat'), r"'dat'; did you mean 'cat'\?$"),
        (('dog', 'fox'), "'fox'; select from these, or rename all$"),
        (('a', 'b', 'c'), "'a'; "),
    ],
)
def test_misspelt_class_is_an_error(pets, wanted, hint):
    message = rf'pets\.parquet has 2 classes \(cat, dog\), but data\.classes lists {hint}'
    with pytest.raises(DataError, match=message):
        ParquetSource(pets, wanted)


@pytest.mark.parametrize('names', [('cat',), ('cat', 'cat')])
def test_needs_two_different_classes(pets, names):
    message = rf'has {len(names)} class(es)? \({", ".join(names)}\); expected two or more, all d'
    with pytest.raises(DataError, match=message):
        ParquetSource(pets, names)


def test_selects_classes_by_name(tmp_path):
    path = write(tmp_path / 'a.parquet', [b'a', b'b', b'c'], [0, 1, 2], names=['cat', 'dog', 'fox'])

    first, bad, last = images_of(ParquetSource(path, ('fox', 'cat')))

    assert (first.label, last.label) == (1, 0)
    assert bad == BadImage(
        'a.parquet:1',
        'label outside the list',
        'its label is dog; expected one of 2 classes (fox, cat)',
        b'b',
    )


@pytest.mark.parametrize('encoded', [False, True])
def test_labels_may_be_class_names(tmp_path, encoded):
    labels = pa.array(['fox', 'cat', None, 'fox'])
    labels = labels.dictionary_encode() if encoded else labels
    path = write(tmp_path / 'a.parquet', [b'a', b'b', b'c', b'd'], labels, names=None)

    source = ParquetSource(path)
    selected = ParquetSource(path, ('fox', 'owl'))

    assert source.classes == ('cat', 'fox')
    assert [getattr(image, 'label', None) for image in images_of(source)] == [1, 0, None, 1]
    assert [getattr(image, 'label', None) for image in images_of(selected)] == [0, None, None, 0]


def test_missing_path_is_an_error(tmp_path):
    path = tmp_path / 'pets.parquet'

    with pytest.raises(DataError, match=f'^{re.escape(str(path))} does not exist; give a Parquet'):
        ParquetSource(path)


def test_folder_without_parquet_files_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r'has no Parquet files; expected .*/\*\.parquet$'):
        ParquetSource(tmp_path)


@pytest.mark.parametrize('contents', [b'', b'hello', b'PAR1 and no more of it'])
def test_other_file_format_is_an_error(tmp_path, contents):
    (tmp_path / 'a.parquet').write_bytes(contents)

    with pytest.raises(DataError, match=r'a\.parquet is not a Parquet file$'):
        ParquetSource(tmp_path / 'a.parquet')


def test_file_without_rows_is_an_error(tmp_path):
    path = write(tmp_path / 'a.parquet', pa.array([], pa.binary()), pa.array([], pa.int64()))

    with pytest.raises(DataError, match=r'a\.parquet has no images: it has no rows$'):
        ParquetSource(path)


@pytest.mark.parametrize('columns', [('picture', 'labels'), ('image', 'class')])
def test_missing_column_is_an_error(tmp_path, columns):
    pq.write_table(pa.table({name: [b'a'] for name in columns}), tmp_path / 'a.parquet')

    message = rf'has the columns {", ".join(columns)}; expected image, and labels or label$'
    with pytest.raises(DataError, match=message):
        ParquetSource(tmp_path)


@pytest.mark.parametrize('image', ['a.jpg', {'path': 'a.jpg'}, 7])
def test_image_column_of_other_type_is_an_error(tmp_path, image):
    path = write(tmp_path / 'a.parquet', [image], [0])

    with pytest.raises(DataError, match=r'has no bytes in its column image, which is .*; expected'):
        ParquetSource(path)


def test_label_column_of_other_type_is_an_error(tmp_path):
    path = write(tmp_path / 'a.parquet', [b'a'], [0.5])

    message = 'has a column labels of double; expected integers or class names'
    with pytest.raises(DataError, match=message):
        ParquetSource(path)


@pytest.mark.parametrize(
    ('label', 'detail'),
    [
        (2, 'its label is 2; expected one of 2 classes (cat, dog)'),
        (-1, 'its label is -1; expected one of 2 classes (cat, dog)'),
        (None, 'it has no label'),
    ],
)
def test_image_with_unknown_label_is_bad(tmp_path, label, detail):
    path = write(tmp_path / 'a.parquet', [b'a', b'b', b'c'], pa.array([0, label, 1], pa.int64()))

    first, bad, last = images_of(ParquetSource(path))

    assert bad == BadImage('a.parquet:1', 'label outside the list', detail, b'b')
    assert (first.label, last.label) == (0, 1)


@pytest.mark.parametrize(
    ('image', 'detail'),
    [
        (None, 'the row has no bytes of an image'),
        ({'bytes': None, 'path': None}, 'the row has no bytes of an image'),
        (
            {'bytes': None, 'path': 'b.jpg'},
            'the row has no bytes of an image, only the path b.jpg',
        ),
    ],
)
def test_row_without_bytes_is_bad(tmp_path, jpegs, image, detail):
    path = write(tmp_path / 'a.parquet', pa.array([image, jpegs[0]], STRUCT), [0, 1])

    bad, good = images_of(ParquetSource(path))

    assert bad == BadImage('a.parquet:0', 'unreadable', detail)
    assert good.contents == jpegs[0]['bytes']


@pytest.mark.parametrize(
    ('group', 'shards'),
    [(100, [500, 500, 200]), (1000, [1000, 200]), (1200, [1200]), (1, [512, 512, 176])],
)
def test_shards_are_whole_row_groups(tmp_path, group, shards):
    table = pa.table({'image': [b'%d' % n for n in range(1200)], 'label': [0, 1] * 600})
    pq.write_table(table, tmp_path / 'a.parquet', row_group_size=group)
    source = ParquetSource(tmp_path, ('cat', 'dog'))

    parts = [list(pickle.loads(pickle.dumps(shard)).images()) for shard in source.shards()]

    assert [len(part) for part in parts] == shards
    images = [image for part in parts for image in part]
    assert [image.contents for image in images] == [b'%d' % n for n in range(1200)]
    assert [image.filename for image in images] == [f'a.parquet:{n}' for n in range(1200)]
    assert IMAGES_PER_SHARD == 512


def test_damaged_file_is_an_error(pets):
    contents = bytearray(pets.read_bytes())
    contents[4:2000] = bytes(1996)
    pets.write_bytes(contents)

    with pytest.raises(DataError, match=r'pets\.parquet cannot be read: \S'):
        images_of(ParquetSource(pets))


def test_removed_file_is_an_error(pets):
    source = ParquetSource(pets)
    pets.unlink()

    with pytest.raises(DataError, match=r'pets\.parquet cannot be read: .*No such file'):
        images_of(source)


class Harmless(pa.PyExtensionType):
    """A type that pyarrow stores as a pickle."""

    def __init__(self):
        super().__init__(pa.binary())

    def __reduce__(self):
        return Harmless, ()


def test_file_with_pickled_type_is_an_error(tmp_path):
    images = pa.ExtensionArray.from_storage(Harmless(), pa.array([b'a']))
    path = write(tmp_path / 'a.parquet', images, [0])

    with pytest.raises(DataError, match=r'cannot be read: Disallowed deserialization'):
        ParquetSource(path)


def test_memory_does_not_grow_with_number_of_images(tmp_path):
    path, image = tmp_path / 'a.parquet', pa.array([bytes(20_000)] * 500)
    with pq.ParquetWriter(
        path,
        pa.table({'image': image, 'labels': [0] * 500}).schema,
        compression='none',
        use_dictionary=False,
        write_batch_size=50,
    ) as writer:
        table = pa.table({'image': pa.chunked_array([image] * 20), 'labels': [0, 1] * 5000})
        writer.write_table(table, row_group_size=len(table))  # one group of 200 MB
    program = (
        'import resource, sys; from pathlib import Path\n'
        'from components.image_example_gen.sources.base.source_protocol import every_image\n'
        'from components.image_example_gen.sources.parquet import ParquetSource\n'
        'before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n'
        'source = ParquetSource(Path(sys.argv[1]), ("cat", "dog"))\n'
        'assert sum(1 for _ in every_image(source)) == 10_000\n'
        'print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)'
    )
    command = [sys.executable, '-c', program, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert int(done.stdout) < 50 * 1024  # in kB
