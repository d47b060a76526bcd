import gzip
import pickle
from pathlib import Path

import pytest
from tfrecord_files import example, write_tfrecord

from common.errors import DataError
from components.image_example_gen.sources.base.data_config import FeatureNames
from components.image_example_gen.sources.base.groups import GroupConfig
from components.image_example_gen.sources.base.reading import MAX_BYTES
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    every_image,
)
from components.image_example_gen.sources.tfrecord import record_files
from components.image_example_gen.sources.tfrecord.source import TfrecordSource

NAMES = FeatureNames(image='jpeg', label='kind', filename='file')
CLASSES = ('cat', 'dog')
HEAD, TAIL = 12, 4  # bytes around the payload of a record


def pets(count: int) -> list[bytes]:
    return [example(jpeg=b'%d' % n, kind=n % 2, file=b'pet-%d.jpg' % n) for n in range(count)]


ONE = HEAD + len(pets(1)[0]) + TAIL  # length of a record


def source_of(path: Path, classes: tuple[str, ...] | None = CLASSES) -> TfrecordSource:
    return TfrecordSource(path, NAMES, classes)


@pytest.fixture
def read(tmp_path):
    """`read(records)` writes a file of them, or of bytes, and returns its images."""

    def read(records, classes=CLASSES):
        path = tmp_path / 'a.tfrecord'
        if isinstance(records, bytes):
            path.write_bytes(records)
        else:
            write_tfrecord(path, records)
        return list(every_image(source_of(path, classes)))

    return read


@pytest.fixture
def three(tmp_path) -> bytes:
    """The contents of a file of three records."""
    return write_tfrecord(tmp_path / 'three', pets(3)).read_bytes()


def test_cuts_long_texts(tmp_path):
    long = b'x' * 100_000
    records = [*pets(2), example(jpeg=b'1', kind=1, file=long, owner=long)]
    path = write_tfrecord(tmp_path / 'a.tfrecord', records)

    source = TfrecordSource(path, NAMES, CLASSES, GroupConfig(column='owner'))

    *_, image = every_image(source)
    assert len(image.group) == 4096
    assert image.filename == f'a.tfrecord:2 ({"x" * 4096})'


@pytest.mark.parametrize(('compression', 'sizes'), [('', [512, 88]), ('GZIP', [600])])
def test_reads_every_image_once_and_divides_uncompressed_files(tmp_path, compression, sizes):
    path = write_tfrecord(tmp_path / 'records', pets(600), compression)

    source = source_of(path)

    assert (source.classes, source.count) == (CLASSES, 600)
    parts = [list(shard.images()) for shard in pickle.loads(pickle.dumps(source.shards()))]
    assert [len(part) for part in parts] == sizes
    assert [image for part in parts for image in part] == [
        LabelledImage(b'%d' % n, n % 2, f'records:{n} (pet-{n}.jpg)', source='records')
        for n in range(600)
    ]


def test_folder_is_searched_by_file_name(tmp_path):
    split = ['d-00000-of-00002', 'd-00001-of-00002.gz', 'e.tfrecord-00000-of-00001']
    wanted = ['a.tfrecord', 'b.TFRecords', 'c.tfrec', *split, 'f/a.tfrecord.gz']
    for name in [*wanted, 'other.txt', '.hidden.tfrecord', '.cache/a.tfrecord']:
        write_tfrecord(tmp_path / name, pets(1), 'GZIP' if name.endswith('gz') else '')

    images = every_image(source_of(tmp_path))

    assert [image.filename.partition(':')[0] for image in images] == sorted(wanted)
    before = source_of(tmp_path).fingerprint
    assert source_of(tmp_path).fingerprint == before
    write_tfrecord(tmp_path / 'a.tfrecord', pets(2))
    assert source_of(tmp_path).fingerprint != before


def test_missing_path_or_files_are_reported(tmp_path):
    with pytest.raises(DataError, match=r'a\.tfrecord does not exist; give a TFRecord file'):
        source_of(tmp_path / 'a.tfrecord')
    with pytest.raises(DataError, match='has no TFRecord files; expected names such as'):
        source_of(tmp_path)


def test_label_names_are_sorted_or_ordered_by_recipe(read):
    kinds = (b'', b'fox', b'cat', b'owl', b'cat')
    examples = [b'bad', *(example(jpeg=b'a', kind=kind) for kind in kinds)]

    assert [image.label for image in read(examples, None)[2:]] == [1, 0, 2, 0]
    *_, fox, cat, owl, _ = read(examples, ('fox', 'cat'))
    assert (fox.label, cat.label) == (0, 1)
    detail = 'its label is owl; expected one of 2 classes (fox, cat)'
    assert owl == BadImage('a.tfrecord:4', 'unknown class', detail, b'a')


@pytest.mark.parametrize(
    ('record', 'detail'),
    [
        (example(jpeg=b'a', kind=7), 'its label is 7; expected one of 2 classes (cat, dog)'),
        (example(jpeg=b'a'), 'its record has no feature kind; its features: jpeg'),
        (example(), 'its record has no feature jpeg; its features: none'),
        (example(jpeg=[b'a', b'b'], kind=1), 'its feature jpeg has 2 values; expected one'),
        (example(jpeg=[], kind=1), 'its feature jpeg has 0 values; expected one'),
        (example(jpeg=5, kind=1), 'its feature jpeg is int; expected bytes'),
        (example(jpeg=b'a', kind=b'\xff'), 'its feature kind is not text'),
        (example(jpeg=b'a', kind=0.5), 'its feature kind is float; expected int or bytes'),
        (b'hello', 'its record is not a tf.Example'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_invalid_record_is_bad(read, record, detail):
    bad, *good = read([record, *pets(2)])

    reason = 'label outside the list' if detail.startswith('its label') else 'unreadable'
    assert bad._replace(contents=b'') == BadImage('a.tfrecord:0', reason, detail)
    assert bool(bad.contents) == bool(record)
    assert [image.label for image in good] == [0, 1]


def test_record_whose_length_looks_like_gzip_is_read(read):
    length = int.from_bytes(b'\x1f\x8b\x08', 'little')
    image = bytes(2 * length - len(example(jpeg=bytes(length), kind=1)))

    assert [each.contents for each in read([example(jpeg=image, kind=1)])] == [image]


def test_reading_goes_on_after_wrong_checksum(read, three):
    place = ONE + HEAD
    first, bad, last = read(three[:place] + b'?' + three[place + 1 :])

    assert bad == BadImage('a.tfrecord:1', 'damaged', 'the checksum of its record is wrong')
    assert (first.contents, last.contents) == (b'0', b'2')


def test_reading_goes_on_after_too_large_record(read, monkeypatch):
    large = example(jpeg=bytes(3000), kind=1)
    monkeypatch.setattr(record_files, '_BESIDES', 2000 - MAX_BYTES)

    detail = f'its record has {len(large):,} bytes; the limit is 2,000'
    first, bad, last = read([pets(1)[0], large, pets(1)[0]])

    assert bad == BadImage('a.tfrecord:1', 'too large', detail)
    assert first.contents == last.contents == b'0'


@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('kept', [1, HEAD - 1, HEAD, HEAD + 9, ONE - 1])
def test_last_record_of_truncated_file_is_bad(read, three, compressed, kept):
    contents = three[: 2 * ONE + kept]

    *good, bad = read(gzip.compress(contents)[:-8] if compressed else contents)

    assert [image.contents for image in good] == [b'0', b'1']
    detail = f'the file ends in its record, which begins at byte {2 * ONE}'
    assert bad == BadImage('a.tfrecord:2', 'truncated', detail)


@pytest.mark.parametrize(
    ('records', 'classes', 'message'),
    [
        ([], CLASSES, 'has no images: it has no records'),
        (pets(2), None, 'does not name its classes; list them'),
        ([example(a=1, b=b'')], CLASSES, 'has no example that .* no feature jpeg; its features: a'),
        (b'hello', CLASSES, 'is not a TFRecord file: no record begins at byte 0'),
        (b'PAR1 is not what these begin with', CLASSES, 'is not a TFRecord file'),
        (
            gzip.compress(b'', mtime=0)[:10] + b'\xff' * 99,
            CLASSES,
            'is damaged: it cannot be decompressed',
        ),
        (
            gzip.compress(b'', mtime=0)[:-8] + b'\xff' * 8,
            CLASSES,
            'is damaged: it cannot be decompressed',
        ),
    ],
)
def test_unusable_file_is_refused(read, records, classes, message):
    with pytest.raises(DataError, match=rf'a\.tfrecord {message}'):
        read(records, classes)


def test_damaged_header_is_reported_with_its_offset(read, three):
    with pytest.raises(DataError, match=rf'is damaged: no record begins at byte {ONE}$'):
        read(three[:ONE] + b'?' + three[ONE + 1 :])


def test_file_changed_after_listing_is_refused(tmp_path):
    path = write_tfrecord(tmp_path / 'a.tfrecord', pets(600))
    source = source_of(path)

    path.write_bytes(path.read_bytes()[:ONE])
    for shard in source.shards():
        with pytest.raises(DataError, match=r'a\.tfrecord changed while it was read: it '):
            list(shard.images())
    path.unlink()
    with pytest.raises(DataError, match=r'a\.tfrecord cannot be read: No such file'):
        list(every_image(source))
