import hashlib
import io
import itertools

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tfx.components.example_gen.base_example_gen_executor import _PartitionFn
from tfx.proto import example_gen_pb2

from components.sources.base import DataError, LabelledImage, Part
from components.sources.config import SplitConfig
from components.sources.folder import FolderSource
from components.sources.parquet import ParquetSource
from components.sources.records import prepare_records, split_of, to_example
from trainer import features

CLASSES = ('cats', 'dogs')
SPLITS = SplitConfig()


class MemorySource:
    """A source of given images; raises after them if it is to be interrupted."""

    classes = CLASSES

    def __init__(self, images, interrupted=False):
        self._images, self._interrupted = images, interrupted
        self.count = len(images)
        self.fingerprint = str([hashlib.sha256(image.contents).hexdigest() for image in images])

    def images(self):
        yield from self._images
        if self._interrupted:
            raise KeyboardInterrupt


def encoded(picture: PIL.Image.Image, image_format: str = 'JPEG', **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **options)
    return buffer.getvalue()


def picture(mode: str = 'RGB', seed: int = 0) -> PIL.Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels).convert(mode)


def labelled(
    contents: bytes, filename: str = 'cats/a.jpg', label: int = 0, part: Part | None = None
) -> LabelledImage:
    return LabelledImage(contents, label, filename, part)


def value(example: tf.train.Example, name: str) -> object:
    feature = example.features.feature[name]
    (only,) = getattr(feature, feature.WhichOneof('kind')).value
    return only


def examples_in(records, split: str = '*') -> list[tf.train.Example]:
    files = sorted(str(path) for path in records.directory.glob(f'span-1/{split}-*.tfrecord'))
    read = tf.data.TFRecordDataset(files).as_numpy_iterator()
    return [tf.train.Example.FromString(record) for record in read]


def modified(records) -> dict[str, int]:
    files = records.directory.rglob('*')
    return {str(path): path.stat().st_mtime_ns for path in files if path.is_file()}


@pytest.fixture(scope='module')
def twenty() -> list[LabelledImage]:
    """Twenty images of each class, enough for every split."""
    return [
        labelled(encoded(picture(seed=n)), f'{CLASSES[n % 2]}/{n}.jpg', n % 2) for n in range(40)
    ]


def test_an_example_holds_the_canonical_features_and_the_bytes_as_they_came():
    contents = encoded(picture())

    example = to_example(labelled(contents, 'dogs/b.jpg', 1), CLASSES)

    assert {name: value(example, name) for name in example.features.feature} == {
        'image/encoded': contents,
        'image/format': b'jpeg',
        'image/class/label': 1,
        'image/class/text': b'dogs',
        'image/filename': b'dogs/b.jpg',
        'image/height': 48,
        'image/width': 64,
        'image/key/sha256': hashlib.sha256(contents).hexdigest().encode(),
    }


@pytest.mark.parametrize(
    ('image_format', 'mode', 'expected'),
    [
        ('JPEG', 'L', b'jpeg'), ('JPEG', 'CMYK', b'jpeg'),
        ('PNG', 'RGB', b'png'), ('PNG', 'RGBA', b'png'), ('PNG', 'P', b'png'),
    ],
)  # fmt: skip
def test_an_image_is_known_by_its_contents_whatever_its_colours_and_name(
    image_format, mode, expected
):
    example = to_example(labelled(encoded(picture(mode), image_format), 'cats/a.jpg'), CLASSES)

    assert value(example, features.IMAGE_FORMAT) == expected
    assert value(example, features.WIDTH) == 64


def test_a_jpeg_of_a_phone_with_a_second_picture_inside_is_a_jpeg():
    contents = encoded(picture(), 'MPO', save_all=True, append_images=[picture(seed=1)])

    example = to_example(labelled(contents), CLASSES)

    assert value(example, features.IMAGE_FORMAT) == b'jpeg'
    assert tf.io.decode_jpeg(contents).shape == (48, 64, 3)


@pytest.mark.parametrize('image_format', ['JPEG', 'PNG'])
@pytest.mark.parametrize('lost', [5, 500])
def test_a_truncated_image_is_named(image_format, lost):
    contents = encoded(picture(), image_format)[:-lost]

    with pytest.raises(
        DataError, match=r'^cats/a\.jpg is not a whole JPEG or PNG image: .*truncated'
    ):
        to_example(labelled(contents), CLASSES)


@pytest.mark.parametrize('contents', [b'', b'hello', encoded(picture(), 'GIF')])
def test_other_contents_under_the_name_of_a_jpeg_are_named(contents):
    with pytest.raises(DataError, match=r'^cats/a\.jpg is not a JPEG or PNG image$'):
        to_example(labelled(contents), CLASSES)


@pytest.mark.parametrize('shares', [(3, 1, 1), (1, 1, 1), (8, 1, 2)])
def test_an_image_gets_the_split_that_example_gen_gives_it(shares):
    splits = SplitConfig(**dict(zip(features.SPLITS, shares, strict=True)))
    config = example_gen_pb2.SplitConfig(partition_feature_name=features.SHA256)
    digests = [hashlib.sha256(bytes([n])).hexdigest() for n in range(200)]

    ours = [split_of(digest, splits) for digest in digests]

    buckets = list(itertools.accumulate(shares))
    theirs = [_PartitionFn(keyed(digest), 3, buckets, config) for digest in digests]
    assert ours == [features.SPLITS[number] for number in theirs]
    assert set(ours) == set(features.SPLITS)


def keyed(digest: str) -> tf.train.Example:
    key = tf.train.Feature(bytes_list=tf.train.BytesList(value=[digest.encode()]))
    return tf.train.Example(features=tf.train.Features(feature={features.SHA256: key}))


def test_every_image_of_a_source_is_written_once(tmp_path, twenty):
    records = prepare_records(MemorySource(twenty), SPLITS, tmp_path / 'records')

    written = {value(example, features.IMAGE_BYTES) for example in examples_in(records)}
    assert written == {image.contents for image in twenty}
    assert len(examples_in(records)) == sum(records.counts.values()) == 40
    assert records.classes == CLASSES


def test_each_split_has_files_of_its_own_with_the_images_that_are_its(tmp_path, twenty):
    records = prepare_records(MemorySource(twenty), SPLITS, tmp_path / 'records')

    for split in features.SPLITS:
        digests = [value(each, features.SHA256).decode() for each in examples_in(records, split)]
        assert {split_of(digest, SPLITS) for digest in digests} == {split}
        assert records.counts[split] == len(digests)


def test_an_image_keeps_its_split_when_others_are_added(tmp_path, twenty):
    def split_by_image(images, name):
        records = prepare_records(MemorySource(images), SPLITS, tmp_path / name)
        return {
            value(example, features.SHA256): split
            for split in features.SPLITS
            for example in examples_in(records, split)
        }

    few, many = split_by_image(twenty[:30], 'few'), split_by_image(twenty, 'many')

    assert few.items() < many.items()


def test_images_that_come_in_parts_stay_in_them(tmp_path, twenty):
    images = [
        image._replace(part='train' if n < 10 else 'validation') for n, image in enumerate(twenty)
    ]

    records = prepare_records(
        MemorySource(images), SplitConfig(test_of_validation=0.5), tmp_path / 'records'
    )

    trained = {value(example, features.IMAGE_BYTES) for example in examples_in(records, 'train')}
    assert trained == {image.contents for image in twenty[:10]}
    assert records.counts['eval'] + records.counts['test'] == 30


def test_the_same_image_in_both_parts_is_written_in_both(tmp_path, twenty):
    images = [image._replace(part=part) for image in twenty for part in ('train', 'validation')]

    records = prepare_records(
        MemorySource(images), SplitConfig(test_of_validation=0.5), tmp_path / 'records'
    )

    assert records.counts['train'] == 40
    assert records.counts['eval'] + records.counts['test'] == 40


@pytest.mark.parametrize('share', [0.1, 0.5])
def test_a_share_of_validation_becomes_test_and_none_of_it_train(share):
    splits = SplitConfig(test_of_validation=share)
    digests = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(2000)]

    given = [split_of(digest, splits, 'validation') for digest in digests]

    assert set(given) == {'eval', 'test'}
    assert given.count('test') / 2000 == pytest.approx(share, abs=0.03)


def test_an_image_stays_in_test_when_the_share_of_test_grows():
    digests = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(200)]

    few, many = (
        {digest for digest in digests if split_of(digest, splits, 'validation') == 'test'}
        for splits in (SplitConfig(test_of_validation=0.2), SplitConfig(test_of_validation=0.4))
    )

    assert few < many


def test_a_folder_becomes_records_that_name_its_files(tmp_path, make_image_folder):
    source = FolderSource(make_image_folder(tmp_path / 'pets', per_class=20))

    records = prepare_records(source, SPLITS, tmp_path / 'records')

    names = {value(example, features.FILENAME).decode() for example in examples_in(records)}
    assert names == {f'{name}/{name}-0-{n}.jpg' for name in CLASSES for n in range(20)}


def test_a_parquet_file_becomes_records_that_name_its_rows(tmp_path, twenty):
    columns = {
        'image': [image.contents for image in twenty], 'label': [image.label for image in twenty],
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / 'pets.parquet')

    records = prepare_records(
        ParquetSource(tmp_path / 'pets.parquet', CLASSES), SPLITS, tmp_path / 'records'
    )

    read = {value(each, features.FILENAME): each for each in examples_in(records)}
    assert len(read) == 40
    for number, image in enumerate(twenty):
        example = read[b'pets.parquet:%d' % number]
        assert value(example, features.IMAGE_BYTES) == image.contents
        assert value(example, features.LABEL) == image.label


def test_a_second_preparation_of_the_same_images_writes_nothing(tmp_path, twenty):
    first = prepare_records(MemorySource(twenty), SPLITS, tmp_path / 'records')
    before = modified(first)

    second = prepare_records(MemorySource(twenty), SPLITS, tmp_path / 'records')

    assert second == first
    assert modified(second) == before


def test_records_follow_an_image_that_changes(tmp_path, twenty):
    prepare_records(MemorySource(twenty), SPLITS, tmp_path / 'records')
    changed = [labelled(encoded(picture(seed=99)), 'cats/0.jpg'), *twenty[1:]]

    records = prepare_records(MemorySource(changed), SPLITS, tmp_path / 'records')

    written = {value(example, features.IMAGE_BYTES) for example in examples_in(records)}
    assert written == {image.contents for image in changed}


def test_other_shares_give_other_counts(tmp_path, twenty):
    first = prepare_records(MemorySource(twenty), SPLITS, tmp_path / 'records')

    second = prepare_records(MemorySource(twenty), SplitConfig(train=1), tmp_path / 'records')

    assert second.counts['train'] < first.counts['train']


def test_an_interrupted_preparation_leaves_no_records_and_the_next_one_works(tmp_path, twenty):
    directory = tmp_path / 'records'
    with pytest.raises(KeyboardInterrupt):
        prepare_records(MemorySource(twenty[:20], interrupted=True), SPLITS, directory)
    assert not directory.exists()

    records = prepare_records(MemorySource(twenty), SPLITS, directory)

    assert len(examples_in(records)) == 40
    assert [path.name for path in tmp_path.iterdir()] == ['records']


def test_a_failed_preparation_keeps_the_records_that_were_there(tmp_path, twenty):
    records = prepare_records(MemorySource(twenty), SPLITS, tmp_path / 'records')
    before = modified(records)

    with pytest.raises(DataError, match=r'bad\.jpg is not a JPEG or PNG image'):
        prepare_records(
            MemorySource([*twenty, labelled(b'', 'bad.jpg')]), SPLITS, tmp_path / 'records'
        )

    assert modified(records) == before


def test_too_few_images_are_told_with_the_split_and_class_that_got_none(tmp_path, twenty):
    sentence = (
        r"^2 images are too few: the (train|eval|test) split got none of class '(cats|dogs)'; "
        'give more images$'
    )
    with pytest.raises(DataError, match=sentence):
        prepare_records(MemorySource(twenty[:2]), SPLITS, tmp_path / 'records')
