"""What all sources of images have in common.

A way of storing images is a function of SOURCES: `write(folder, images)` stores images, and returns
the keys of `data` that read them. A new source adds one.
"""

import pickle
import re
import zipfile
from typing import NamedTuple

import pytest
from record_files import write_parquet, write_records

from common import features
from common.errors import DataError
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import BadImage, LabelledImage, every_image
from components.image_example_gen.sources.spans import make_source


class Stored(NamedTuple):
    label: str
    contents: bytes
    part: str = ''  # name of a part


def named(images):
    """The images by relative path, as `train/cat/0.jpg`."""
    return {
        '/'.join(filter(None, (image.part, image.label, f'{number}.jpg'))): image.contents
        for number, image in enumerate(images)
    }


def folder(path, images):
    for name, contents in named(images).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(contents)
    return {'source': 'folder', 'path': path}


def archive(path, images):
    with zipfile.ZipFile(path / 'a.zip', 'w') as file:
        for name, contents in named(images).items():
            file.writestr(name, contents)
    return {'source': 'archive', 'path': path / 'a.zip'}


def csv_file(path, images):
    folder(path, [image._replace(label='', part='') for image in images])
    rows = [f'{n}.jpg,{image.label},{image.part}' for n, image in enumerate(images)]
    text = '\n'.join(['path,label,split', *rows])
    (path / 'a.csv').write_text(text if images[0].part else re.sub(',[^,]*$', '', text, flags=re.M))
    return {'source': 'csv', 'path': path / 'a.csv'}


def text_lists(path, images):
    folder(path, [image._replace(label='', part='') for image in images])
    for part in {image.part for image in images}:
        lines = [f'{n}.jpg {image.label}' for n, image in enumerate(images) if image.part == part]
        (path / f'{part or "list"}.txt').write_text('\n'.join(lines))
    return {'source': 'csv', 'path': path}


def columns_of(images, image, label, names=()):
    return {
        image: [each.contents for each in images],
        label: [names.index(each.label) if names else each.label for each in images],
    }


def files(path, images, kind, name, **columns):
    """A file for each part, of a name with it."""
    for part in {each.part for each in images}:
        of_part = [each for each in images if each.part == part]
        write_records(kind, path / name.format(part or 'all'), **columns_of(of_part, **columns))


def parquet_files(path, images):
    columns = {'image': 'img', 'label': 'fine_label'}
    files(path, images, 'parquet', 'data/{}-00000-of-00001.parquet', **columns)
    return {'source': 'parquet', 'path': path}


def parquet_columns(path, images):
    """Numbers with names, and a column of parts."""
    names = sorted({each.label for each in images})
    columns = columns_of(images, 'image', 'label', names)
    write_parquet(path / 'a.parquet', names, **columns, split=[each.part for each in images])
    return {'source': 'parquet', 'path': path / 'a.parquet'}


def tfrecord_files(path, images):
    columns = {'image': 'jpeg', 'label': 'kind'}
    files(path, images, 'tfrecord', '{}.tfrecord', **columns)
    return {'source': 'tfrecord', 'path': path, 'columns': columns}


def own_records(path, images):
    """Numbers with names, in the folders of ImageExampleGen."""
    names = sorted({each.label for each in images})
    for part in {each.part for each in images}:
        of_part = [each for each in images if each.part == part]
        split = {'validation': 'eval', '': 'train'}.get(part, part)
        columns = columns_of(of_part, features.IMAGE_BYTES, features.LABEL, names)
        columns[features.CLASS_NAME] = [each.label for each in of_part]
        write_records('tfrecord', path / f'Split-{split}' / 'data-00000-of-00001', **columns)
    return {'source': 'tfrecord', 'path': path}


SOURCES = {
    'folder': folder,
    'archive': archive,
    'csv': csv_file,
    'text lists': text_lists,
    'Parquet files': parquet_files,
    'Parquet columns': parquet_columns,
    'TFRecords': tfrecord_files,
    'own records': own_records,
}
PETS = [Stored(label, f'{label} {n}'.encode()) for label in ('Cat', 'Dog') for n in range(3)]
DIVIDED = [
    Stored(label, f'{part} {label}'.encode(), part)
    for part in ('train', 'validation', 'test')
    for label in ('Cat', 'Dog')
]


@pytest.fixture(params=SOURCES)
def store(request, tmp_path):
    """`store(images, **keys)` writes images in one way; returns the config that reads them."""
    numbers = iter(range(100))

    def write(images, **keys):
        path = tmp_path / f'stored{next(numbers)}'
        path.mkdir()
        return DataConfig(**SOURCES[request.param](path, images), **keys)

    return write


def read(config):
    """Contents by class name, the bad images, and the source."""
    source = make_source(config)
    images = list(every_image(source))
    good = [each for each in images if isinstance(each, LabelledImage)]
    labels = {each.contents: source.classes[each.label] for each in good}
    return labels, [each for each in images if isinstance(each, BadImage)], source


def test_reads_every_image_once_also_from_pickled_shards(store):
    labels, bad, source = read(store(PETS))

    assert labels == {image.contents: image.label for image in PETS}
    assert (bad, source.notes) == ([], ())
    assert (source.classes, source.count) == (('Cat', 'Dog'), 6)
    assert source.counts in ({'Cat': 3, 'Dog': 3}, None)
    shards = pickle.loads(pickle.dumps(source.shards()))
    assert [each for shard in shards for each in shard.images()] == [*every_image(source)]
    assert len({image.filename for image in every_image(source)}) == len(PETS)


@pytest.mark.parametrize(
    ('classes', 'names'),
    [
        (['Dog', 'Cat'], {'Cat': 'Cat', 'Dog': 'Dog'}),
        (['dog', 'cat'], {'Cat': 'cat', 'Dog': 'dog'}),  # compared without case
        ({'Dog': 'Hund', 'Cat': 'Katze'}, {'Cat': 'Katze', 'Dog': 'Hund'}),
    ],
)
def test_listed_classes_are_the_order_of_labels(store, classes, names):
    labels, _, source = read(store(PETS, classes=classes))

    assert source.classes == tuple(classes.values() if isinstance(classes, dict) else classes)
    assert labels == {image.contents: names[image.label] for image in PETS}


@pytest.mark.parametrize('classes', [['Cat', 'Fox'], ['hund', 'katze'], {'Cat': 'a', 'Fox': 'b'}])
def test_unknown_listed_class_and_missing_place_are_errors_of_one_line(store, classes):
    config = store(PETS, classes=classes)
    for place in (config.path, config.path.parent / 'nowhere'):
        with pytest.raises(DataError) as raised:
            make_source(config.model_copy(update={'path': place}))
        assert '\n' not in str(raised.value)


def test_other_classes_are_not_trained(store):
    images = [*PETS, Stored('Wolf', b'wolf')]
    labels, bad, source = read(store(images, classes=['Cat', 'Dog']))

    assert len(labels) == 6
    assert [each.reason for each in bad] == ['unknown class']
    assert source.count == 7


def test_one_class_is_an_error(store):
    with pytest.raises(DataError, match='expected two or more'):
        make_source(store(PETS[:3]))


def test_fingerprint_changes_with_the_images(store):
    config = store(PETS)
    first = make_source(config).fingerprint

    assert make_source(config).fingerprint == first
    assert make_source(store([*PETS, Stored('Dog', b'new')])).fingerprint != first


def test_own_division_is_kept_and_a_class_that_a_part_lacks_is_a_note(store):
    *images, _ = DIVIDED

    _, bad, source = read(store(images))
    parts = {image.contents.decode().split()[0]: image.part for image in every_image(source)}
    assert parts == {'train': 'train', 'validation': 'eval', 'test': 'test'}
    assert not bad
    assert [note for note in source.notes if 'Dog' in note and 'test' in note]


def test_order_of_names(store):
    """Numbers are sorted by value; names that differ only in case are a note with counts."""
    images = [Stored(str(number), str(number).encode()) for number in range(12)]
    assert make_source(store(images)).classes == tuple(map(str, range(12)))

    source = make_source(store([*PETS, Stored('cat', b'1'), Stored('cat', b'2')]))
    assert source.classes == ('Cat', 'Dog', 'cat')
    assert [note for note in source.notes if "'Cat' (3 images), 'cat' (2 images)" in note]
