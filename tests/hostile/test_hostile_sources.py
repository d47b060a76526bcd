"""Hostile sources of images: opened and read as ingestion does, in bounded memory and time."""

import tarfile

import hostile_files as made
import image_bytes
import pyarrow as pa
import pytest
from bounded import bounded

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import BadImage, every_image
from components.image_example_gen.sources.spans import make_source

PNG = image_bytes.encoded(image_bytes.quarters(), 'PNG')
LONG_TEXT = 'é'.encode() * 1_000_000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('CATDOG_CACHE', str(tmp_path / 'cache'))


def read(source, path, **keys):
    """The classes and the images."""
    with bounded():
        found = make_source(DataConfig(source=source, path=path, **keys))
        return found.classes, [*every_image(found)]


def error_of(source, path):
    with pytest.raises(DataError) as raised:
        read(source, path)
    assert str(raised.value).isprintable()
    return str(raised.value)


def pax(path):
    return made.tar_of_large_header(path, tarfile.XHDTYPE, 20)


def gnu(path):
    return made.tar_of_large_header(path, tarfile.GNUTYPE_LONGNAME, 20)


def negative(path):
    path.write_bytes(made.tar_header(tarfile.REGTYPE, 0) + made.tar_header(tarfile.REGTYPE, -1024))
    return path


def bomb(path):
    return made.zip_of_zeros(path, 1100)


@pytest.mark.parametrize(
    ('head', 'size', 'phrase'),
    [
        (b'', 10**9, 'has more than 200 MB'),
        (b'path,label\n', 10**8, 'cannot be read as CSV'),
        (b'path,label\n' + b'a.jpg,"\0"\n', 0, ''),
        (b',' * 10**6, 0, "has the column '' twice"),
    ],
)
def test_csv_file(tmp_path, head, size, phrase):
    path = tmp_path / 'a.csv'
    for name in ('a.jpg', 'b.jpg'):
        (tmp_path / name).write_bytes(made.IMAGE)
    with path.open('wb') as file:
        file.write(head)
        file.truncate(max(size, len(head)))  # sparse zeros

    assert phrase in error_of('csv', path)


@pytest.mark.parametrize(
    ('make', 'phrase'),
    [
        (pax, 'cannot be extracted'),
        (gnu, 'cannot be extracted'),
        (negative, 'cannot be extracted'),
        pytest.param(bomb, 'decompression bomb', marks=pytest.mark.slow),
    ],
)
def test_archive(tmp_path, make, phrase):
    assert phrase in error_of('archive', make(tmp_path / 'a.tar.gz'))


def parquet(path, images=None, labels=None, metadata=made.PETS):
    images = pa.array([made.IMAGE, PNG]) if images is None else images
    labels = pa.array([0, 1]) if labels is None else labels
    return made.parquet_of(path, [('image', images), ('label', labels)], metadata)


def two_columns(path):
    image = ('image', pa.array([made.IMAGE, PNG]))
    return made.parquet_of(path, [image, image, ('label', pa.array([0, 1]))], made.PETS)


def nested_struct(path):
    inner = pa.StructArray.from_arrays([pa.array([b'1', b'2'])], ['bytes'])
    return parquet(path, pa.StructArray.from_arrays([inner], ['bytes']))


def many_rows(path):
    return made.parquet_of(path, made.labelled(pa.nulls(10_000_000, pa.binary())), made.PETS)


@pytest.mark.parametrize(
    ('make', 'phrase'),
    [
        (lambda path: made.parquet_of_zeros(path, 200, 4), '400 MB of memory'),
        (two_columns, 'not one column'),
        (nested_struct, 'with bytes of images'),
        (lambda path: parquet(path, labels=made.texts(b'cat', b'\xff')), 'cannot be read: '),
        (many_rows, 'states 10,000,000 rows'),
        (lambda path: parquet(path, metadata=made.class_metadata(['a\x1b[2J', 'dog'])), 'control'),
    ],
)
def test_parquet_file(tmp_path, make, phrase):
    assert phrase in error_of('parquet', make(tmp_path / 'a.parquet'))


@pytest.mark.parametrize('metadata', [{'huggingface': '[' * 200_000}, made.class_metadata('cd')])
def test_parquet_metadata_without_names_of_classes(tmp_path, metadata):
    classes, _ = read('parquet', parquet(tmp_path / 'a.parquet', metadata=metadata))
    assert classes == ('0', '1')


@pytest.mark.parametrize(
    ('paths', 'labels', 'bad'),
    [
        (made.texts(b'a.jpg', b'b.jpg', b'c.jpg'), made.texts(b'cat', b'dog', b'\x1b'), 1),
        (made.texts(b'a.jpg', b'b.jpg', b'c.jpg'), made.texts(b'cat', b'dog', LONG_TEXT), 1),
        (made.texts(b'a' * 4090 + LONG_TEXT, b'b.jpg'), made.texts(b'cat', b'dog'), 0),
    ],
)
def test_parquet_row_with_text_that_is_none(tmp_path, paths, labels, bad):
    images = pa.StructArray.from_arrays([pa.array([PNG] * len(paths)), paths], ['bytes', 'path'])
    path = parquet(tmp_path / 'a.parquet', images, labels, metadata=None)

    classes, found = read('parquet', path)
    assert classes == ('cat', 'dog')
    assert sum(isinstance(each, BadImage) for each in found) == bad
    assert max(len(each.filename) for each in found) < 5000


@pytest.mark.slow
def test_record_above_the_limit_is_one_error(tmp_path):
    path = made.record_of_zeros(tmp_path / 'a.tfrecord.gz', 300)
    assert 'a.tfrecord.gz cannot be read: ' in error_of('tfrecord', path)


def test_links_that_double_at_each_level(tmp_path):
    assert len(read('folder', made.doubling_links(tmp_path / 'pets', 40))[1]) == 2


def test_folders_that_are_nested_deep(tmp_path):
    deepest = (tmp_path / 'pets' / 'cats').joinpath(*['d'] * 300)
    deepest.mkdir(parents=True)
    (tmp_path / 'pets' / 'dogs').mkdir()
    for folder in (deepest, tmp_path / 'pets' / 'dogs'):
        (folder / 'a.jpg').write_bytes(made.IMAGE)
    assert len(read('folder', tmp_path / 'pets')[1]) == 2
