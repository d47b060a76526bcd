import hashlib
import io
import itertools
import shutil

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
from components.sources.records import split_of, to_example, write_records
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


def examples_in(directory, split: str = '*') -> list[tf.train.Example]:
    files = sorted(str(path) for path in directory.glob(f'Split-{split}/*'))
    read = tf.data.TFRecordDataset(files).as_numpy_iterator()
    return [tf.train.Example.FromString(record) for record in read]


@pytest.fixture
def write(tmp_path):
    """`write(images)`: a folder with their records, a new one each time."""
    numbers = itertools.count()

    def write_images(images, splits=SPLITS, earlier=()):
        directory = tmp_path / f'records-{next(numbers)}'
        source = images if hasattr(images, 'images') else MemorySource(images)
        write_images.counts, write_images.known = write_records(source, splits, directory, earlier)
        return directory

    return write_images


def total(counts, split):
    return sum(counts[split].values())


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


def test_every_image_of_a_source_is_written_once(write, twenty):
    records = write(twenty)

    written = {value(example, features.IMAGE_BYTES) for example in examples_in(records)}
    assert written == {image.contents for image in twenty}
    assert len(examples_in(records)) == 40
    assert {name: sum(of[name] for of in write.counts.values()) for name in CLASSES} == {
        'cats': 20,
        'dogs': 20,
    }


def test_each_split_has_files_of_its_own_with_the_images_that_are_its(write, twenty):
    records = write(twenty)

    for split in features.SPLITS:
        digests = [value(each, features.SHA256).decode() for each in examples_in(records, split)]
        assert {split_of(digest, SPLITS) for digest in digests} == {split}
        assert total(write.counts, split) == len(digests)


def test_an_image_keeps_its_split_when_others_are_added(write, twenty):
    def split_by_image(images):
        records = write(images)
        return {
            value(example, features.SHA256): split
            for split in features.SPLITS
            for example in examples_in(records, split)
        }

    few, many = split_by_image(twenty[:30]), split_by_image(twenty)

    assert few.items() < many.items()


def test_images_that_come_in_parts_stay_in_them(write, twenty):
    images = [
        image._replace(part='train' if n < 10 else 'validation') for n, image in enumerate(twenty)
    ]

    records = write(images, SplitConfig(test_of_validation=0.5))

    trained = {value(example, features.IMAGE_BYTES) for example in examples_in(records, 'train')}
    assert trained == {image.contents for image in twenty[:10]}
    assert total(write.counts, 'eval') + total(write.counts, 'test') == 30


def test_the_same_image_in_both_parts_is_written_in_both(write, twenty):
    images = [image._replace(part=part) for image in twenty for part in ('train', 'validation')]

    write(images, SplitConfig(test_of_validation=0.5))

    assert total(write.counts, 'train') == 40
    assert total(write.counts, 'eval') + total(write.counts, 'test') == 40


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


def test_a_folder_becomes_records_that_name_its_files(tmp_path, write, make_image_folder):
    records = write(FolderSource(make_image_folder(tmp_path / 'pets', per_class=20)))

    names = {value(example, features.FILENAME).decode() for example in examples_in(records)}
    assert names == {f'{name}/{name}-0-{n}.jpg' for name in CLASSES for n in range(20)}


def test_a_parquet_file_becomes_records_that_name_its_rows(tmp_path, write, twenty):
    columns = {
        'image': [image.contents for image in twenty], 'label': [image.label for image in twenty],
    }  # fmt: skip
    pq.write_table(pa.table(columns), tmp_path / 'pets.parquet')

    records = write(ParquetSource(tmp_path / 'pets.parquet', CLASSES))

    read = {value(each, features.FILENAME): each for each in examples_in(records)}
    assert len(read) == 40
    for number, image in enumerate(twenty):
        example = read[b'pets.parquet:%d' % number]
        assert value(example, features.IMAGE_BYTES) == image.contents
        assert value(example, features.LABEL) == image.label


def test_records_of_the_same_images_are_linked_and_not_written_again(write, twenty):
    first = write(twenty)
    assert not write.known

    second = write(twenty, earlier=[first])

    assert write.known
    for file in first.rglob('data_tfrecord-*'):
        assert file.samefile(second / file.relative_to(first))


def test_records_that_are_linked_outlive_those_that_they_were_linked_from(write, twenty):
    first = write(twenty)
    second = write(twenty, earlier=[first])

    shutil.rmtree(first)

    assert len(examples_in(second)) == 40


@pytest.mark.parametrize('change', ['other image', 'other shares', 'file gone', 'cut off'])
def test_records_of_anything_else_are_written_anew(write, twenty, change):
    earlier = write(twenty)
    images, splits = twenty, SPLITS
    if change == 'other image':
        images = [labelled(encoded(picture(seed=99)), 'cats/0.jpg'), *twenty[1:]]
    elif change == 'other shares':
        splits = SplitConfig(train=1)
    elif change == 'file gone':
        next(earlier.glob('Split-eval/*')).unlink()
    else:
        (earlier / 'manifest.json').unlink()

    records = write(images, splits, earlier=[earlier])

    assert not write.known
    written = {value(example, features.IMAGE_BYTES) for example in examples_in(records)}
    assert written == {image.contents for image in images}


def test_records_that_were_cut_off_have_no_manifest(tmp_path, twenty):
    source = MemorySource(twenty[:20], interrupted=True)

    with pytest.raises(KeyboardInterrupt):
        write_records(source, SPLITS, tmp_path / 'records')

    assert not (tmp_path / 'records' / 'manifest.json').exists()
