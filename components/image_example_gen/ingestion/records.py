"""Writes canonical `tf.Example`s to TFRecords, one file per split, in the layout of TFX."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from common import features
from components.image_example_gen.inspection.examine import GoodImage
from components.image_example_gen.sources.base.data_config import SplitConfig
from components.image_example_gen.sources.base.source_protocol import LabelledImage, Part


def split_of(sha256: str, splits: SplitConfig, part: Part | None = None) -> str:
    """The split of an image, from the digest of its bytes or group; independent of other images.

    Follows TFX's ExampleGen with `partition_feature_name`, which hashes the feature. The digest
    chooses among the splits of `part`.
    """
    if part in features.SPLITS:
        return part
    if part == 'eval_and_test':
        return 'test' if int(sha256, 16) / 2**256 < splits.test_share_of_validation else 'eval'
    allowed = ('train', 'eval') if part == 'train_and_eval' else features.SPLITS
    shares = [split for split in allowed for _ in range(getattr(splits, split))]
    key = _feature(sha256.encode()).SerializeToString(deterministic=True)
    return shares[int(hashlib.sha256(key).hexdigest(), 16) % len(shares)]


def to_example(
    image: LabelledImage, good: GoodImage, sha256: str, classes: Sequence[str]
) -> tf.train.Example:
    """The canonical `tf.Example` of an image; `sha256` is the digest of the original bytes."""
    values: dict[str, bytes | int | float] = {
        features.IMAGE_BYTES: good.contents,
        features.IMAGE_FORMAT: good.format.encode(),
        features.LABEL: image.label,
        features.CLASS_NAME: classes[image.label].encode(),
        features.FILENAME: image.filename.encode(errors='surrogateescape'),
        features.HEIGHT: good.height,
        features.WIDTH: good.width,
        features.ASPECT: good.width / good.height,
        features.BYTES: len(good.contents),
        features.BRIGHTNESS: good.measures.brightness,
        features.CONTRAST: good.measures.contrast,
        features.SHARPNESS: good.measures.sharpness,
        features.COLOURFULNESS: good.measures.colourfulness,
        features.SHA256: sha256.encode(),
    }
    if image.source:
        values[features.SOURCE] = image.source.encode(errors='surrogateescape')
    named = {name: _feature(value) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=named))


def _feature(value: bytes | int | float) -> tf.train.Feature:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


def record_files(directory: Path, number: int, shards: int) -> list[Path]:
    """The files of one shard, one per split in the order of SPLITS."""
    name = f'data_tfrecord-{number:05d}-of-{shards:05d}'
    return [directory / f'Split-{split}' / name for split in features.SPLITS]


@contextlib.contextmanager
def split_writers(files: Sequence[Path], unfinished: Path) -> Iterator[list[tf.io.TFRecordWriter]]:
    """Opens a writer per file; the files replace existing ones only if no error occurs.

    Until then they are in the folder `unfinished`, which no other writer uses.
    """
    partial = [unfinished / f'{number}-{file.name}' for number, file in enumerate(files)]
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(tf.io.TFRecordWriter(str(file))) for file in partial]
    for source, target in zip(partial, files, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        source.replace(target)


def read_records(files: Sequence[Path]) -> Iterator[bytes]:
    """Reads the serialised `tf.Example`s of uncompressed files, in order."""
    for file in files:
        yield from tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
