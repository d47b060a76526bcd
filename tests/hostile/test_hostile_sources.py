"""Hostile sources of images: opened and read in a subprocess, as ingestion does."""

import json
import tarfile

import hostile_files as made
import image_bytes
import pyarrow as pa
import pytest
from hostile_runner import hostile_process, megabytes_of_imports, run_hostile

READ = """
from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import BadImage, every_image
from components.image_example_gen.sources.spans import make_source
def main(config):
    try:
        source = make_source(DataConfig.model_validate_json(config))
        print(ascii(source.classes), source.count)
        for image in every_image(source):
            bad = isinstance(image, BadImage)
            found = (image.filename, image.reason, image.detail) if bad else image.filename
            print(ascii(found))
    except DataError as error:
        print('error:', ascii(str(error)))
        return 2
"""
PNG = image_bytes.encoded(image_bytes.quarters(), 'PNG')
LONG_TEXT = 'é'.encode() * 1_000_000


@pytest.fixture(scope='module')
def start_reader(tmp_path_factory):
    """Starts a process that reads sources."""
    cache = tmp_path_factory.mktemp('cache')
    return lambda: hostile_process(READ, {'CATDOG_CACHE': str(cache)})


@pytest.fixture(scope='module')
def reader(start_reader):
    """A process that reads one source after another; none of these imports TensorFlow."""
    with start_reader() as process:
        yield process


def read(reader, source, path, *, megabytes=None, seconds=30, **keys):
    """Exit code and output; fails above a peak of memory and CPU seconds, with large margins."""
    done = reader.call(json.dumps({'source': source, 'path': str(path), **keys}))
    assert 'Traceback' not in done.output
    assert done.peak_megabytes < (megabytes or megabytes_of_imports('pyarrow.parquet') + 300)
    assert done.cpu_seconds < seconds
    return done.exit_code, done.output


def pax(path):
    return made.tar_of_large_header(path, tarfile.XHDTYPE, 20)


def gnu(path):
    return made.tar_of_large_header(path, tarfile.GNUTYPE_LONGNAME, 20)


def bomb(path):
    return made.zip_of_zeros(path, 1100)


@pytest.mark.parametrize(
    ('head', 'size', 'phrase'),
    [
        (b'', 10**9, 'has more than 200 MB'),
        (b'path,label\n', 10**8, 'cannot be read as CSV'),
        (b'path,label\n"' + b'x\n' * 100_000, 0, 'field larger than field limit'),
        (b'path,label\n' + b'a.jpg,"\0"\n', 0, 'error: '),
        (b'path,label\n' + b'a.jpg,\x1b[2J\nb.jpg,cat\n', 0, 'with control characters'),
        (b',' * 10**6, 0, "has the column '' twice"),
    ],
)
def test_csv_file(reader, tmp_path, head, size, phrase):
    path = tmp_path / 'a.csv'
    for name in ('a.jpg', 'b.jpg'):
        (tmp_path / name).write_bytes(made.IMAGE)
    with path.open('wb') as file:
        file.write(head)
        file.truncate(max(size, len(head)))  # sparse zeros

    code, output = read(reader, 'csv', path)

    assert code == 2
    assert phrase in output


@pytest.mark.parametrize(
    ('make', 'phrase'),
    [
        (pax, 'cannot be extracted'),
        (gnu, 'cannot be extracted'),
        pytest.param(bomb, 'decompression bomb', marks=pytest.mark.slow),
    ],
)
def test_archive(reader, tmp_path, make, phrase):
    code, output = read(reader, 'archive', make(tmp_path / 'a.tar.gz'))

    assert code == 2
    assert phrase in output


def parquet(path, images=None, labels=None, metadata=made.PETS):
    images = pa.array([made.IMAGE, PNG]) if images is None else images
    labels = pa.array([0, 1]) if labels is None else labels
    return made.parquet_of(path, [('image', images), ('label', labels)], metadata)


def two_columns(path):
    image = ('image', pa.array([made.IMAGE, PNG]))
    return made.parquet_of(path, [image, image, ('label', pa.array([0, 1]))], made.PETS)


def field_twice(path):
    field = pa.array([made.IMAGE, PNG])
    return parquet(path, pa.StructArray.from_arrays([field, field], ['bytes', 'bytes']))


def nested_struct(path):
    inner = pa.StructArray.from_arrays([pa.array([b'1', b'2'])], ['bytes'])
    return parquet(path, pa.StructArray.from_arrays([inner], ['bytes']))


def footer_strings(path):
    return made.parquet_with_footer(path, b'\x05image', b'\x05\xff\xfe\xffge')


def many_rows(path):
    return made.parquet_of(path, made.labelled(pa.nulls(10_000_000, pa.binary())), made.PETS)


@pytest.mark.parametrize(
    ('make', 'phrase'),
    [
        (lambda path: made.parquet_of_stated_size(path, 1500), 'more than 400 MB of memory'),
        (lambda path: made.parquet_of_zeros(path, 200, 4), '400 MB of memory'),
        (two_columns, 'not one column'),
        (field_twice, 'with bytes of images'),
        (nested_struct, 'with bytes of images'),
        (footer_strings, 'cannot be read: '),
        (lambda path: parquet(path, labels=made.texts(b'cat', b'\xff')), 'cannot be read: '),
        (many_rows, 'states 10,000,000 rows'),
        (lambda path: parquet(path, metadata=made.class_metadata(['', 'dog'])), 'two or more'),
        (lambda path: parquet(path, metadata=made.class_metadata(['\ud800', 'dog'])), 'control'),
        (lambda path: parquet(path, metadata=made.class_metadata(['a\x1b[2J', 'dog'])), 'control'),
    ],
)
def test_parquet_file(reader, tmp_path, make, phrase):
    code, output = read(reader, 'parquet', make(tmp_path / 'a.parquet'))

    assert code == 2
    assert phrase in output
    assert output.splitlines()[-1].startswith('error: ')


@pytest.mark.parametrize('metadata', [{'huggingface': '[' * 200_000}, made.class_metadata('cd')])
def test_parquet_metadata_without_names_of_classes(reader, tmp_path, metadata):
    code, output = read(reader, 'parquet', parquet(tmp_path / 'a.parquet', metadata=metadata))

    assert code == 0
    assert "('0', '1')" in output


def test_parquet_cell_above_the_limit_is_one_bad_image(reader, tmp_path):
    images = pa.array([bytes(2_000_000), PNG])

    code, output = read(
        reader, 'parquet', parquet(tmp_path / 'a.parquet', images), checks={'max_megabytes': 1}
    )

    assert code == 0
    assert "'too large'" in output
    assert "'a.parquet:1'" in output


@pytest.mark.parametrize(
    ('paths', 'labels', 'bad'),
    [
        (made.texts(b'a.jpg', b'b.jpg', b'c.jpg'), made.texts(b'cat', b'dog', b'\x1b'), 1),
        (made.texts(b'a.jpg', b'b.jpg', b'c.jpg'), made.texts(b'cat', b'dog', LONG_TEXT), 1),
        (made.texts(b'a' * 4090 + LONG_TEXT, b'b.jpg'), made.texts(b'cat', b'dog'), 0),
    ],
)
def test_parquet_row_with_text_that_is_none(reader, tmp_path, paths, labels, bad):
    images = pa.StructArray.from_arrays([pa.array([PNG] * len(paths)), paths], ['bytes', 'path'])
    path = parquet(tmp_path / 'a.parquet', images, labels, metadata=None)

    code, output = read(reader, 'parquet', path)

    assert code == 0
    assert "('cat', 'dog')" in output
    assert output.count("('a.parquet:") == bad
    assert len(output) < 20_000


@pytest.mark.slow
def test_record_above_the_limit_is_one_error(start_reader, tmp_path):
    path = made.record_of_zeros(tmp_path / 'a.tfrecord.gz', 300)
    most = megabytes_of_imports('tensorflow') + 250

    with start_reader() as reader:
        code, output = read(
            reader, 'tfrecord', path, megabytes=most, seconds=40, classes=['cat', 'dog']
        )

    assert code == 2
    assert 'a.tfrecord.gz cannot be read: ' in output


def test_links_that_double_at_each_level(reader, tmp_path):
    code, output = read(reader, 'folder', made.doubling_links(tmp_path / 'pets', 40))

    assert code == 0
    assert "'dogs') 2" in output


def test_folders_that_are_nested_deep(reader, tmp_path):
    deepest = (tmp_path / 'pets' / 'cats').joinpath(*['d'] * 300)
    deepest.mkdir(parents=True)
    (tmp_path / 'pets' / 'dogs').mkdir()
    for folder in (deepest, tmp_path / 'pets' / 'dogs'):
        (folder / 'a.jpg').write_bytes(made.IMAGE)

    code, output = read(reader, 'folder', tmp_path / 'pets')

    assert code == 0
    assert "'dogs') 2" in output


@pytest.mark.parametrize('name', ['ca\x1b[2Jts', 'ca\nts', ' '])
def test_folder_of_a_class_with_control_characters(reader, tmp_path, name):
    for each in (name, 'dogs'):
        (tmp_path / 'pets' / each).mkdir(parents=True)
        (tmp_path / 'pets' / each / 'a.jpg').write_bytes(made.IMAGE)

    code, output = read(reader, 'folder', tmp_path / 'pets')

    assert code == 2
    assert 'has the class name' in output


@pytest.mark.slow
def test_command_line_reports_one_error(tmp_path):
    path = two_columns(tmp_path / 'a.parquet')
    options = ['--config', 'configs/demo.yaml', '--data', str(path), '--workdir', str(tmp_path)]

    done = run_hostile(['pipeline_runner.py', 'run', *options], timeout=300)

    assert done.exit_code == 2
    (line,) = (each for each in done.output.splitlines() if each.startswith('error: '))
    assert line.startswith(f'error: {path} has not one column of a usual name')
    assert 'Traceback' not in done.output
    assert done.peak_megabytes < megabytes_of_imports('pipeline.execution.launch') + 800
    assert done.cpu_seconds < 120
