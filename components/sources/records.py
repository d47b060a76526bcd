"""From a source of images to sharded TFRecords of canonical `tf.Example`s, divided into splits."""

import contextlib
import hashlib
import io
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import PIL.Image
import tensorflow as tf

from components.sources.base import DataError, LabelledImage, Part, Source
from components.sources.config import SplitConfig
from trainer import features, progress

_FORMAT = 4  # of the files below: another number and everything is ingested again
_IMAGES_PER_SHARD = 512
_MANIFEST = 'manifest.json'
_OPENED = ('JPEG', 'PNG')
_FORMATS = {'JPEG': 'jpeg', 'MPO': 'jpeg', 'PNG': 'png'}  # MPO: a JPEG that a phone added to
_PNG_END = b'IEND\xaeB`\x82'

Counts = dict[str, dict[str, int]]  # images by split and class


def write_records(
    source: Source, splits: SplitConfig, directory: Path, earlier: Iterable[Path] = ()
) -> tuple[Counts, bool]:
    """Writes the images of a source to `<directory>/Split-<split>/`, as TFX lays out Examples.

    Args:
        source: the images.
        splits: how they are divided.
        directory: where to; a manifest is written last, so what was cut off has none.
        earlier: such directories, maybe of the same images: their files are linked instead.

    Returns:
        How many images there are of each class in each split, and whether they were there before.

    Raises:
        DataError: an image cannot be read.
    """
    description = {
        'fingerprint': source.fingerprint, 'classes': list(source.classes),
        'splits': splits.model_dump(), 'format': _FORMAT,
    }  # fmt: skip
    for folder in earlier:
        manifest = _read_manifest(folder)
        if manifest['source'] == description and manifest['sizes'] == _sizes(folder):
            shutil.copytree(folder, directory, copy_function=_link, dirs_exist_ok=True)
            return manifest['counts'], True
    counts = _write(source, splits, directory)
    manifest = {'source': description, 'counts': counts, 'sizes': _sizes(directory)}
    (directory / _MANIFEST).write_text(json.dumps(manifest))
    return counts, False


def _read_manifest(directory: Path) -> dict[str, Any]:
    try:
        return json.loads((directory / _MANIFEST).read_text())
    except FileNotFoundError:  # cut off while it was written, or being written
        return {'source': None}


def _sizes(directory: Path) -> dict[str, int]:
    """Bytes of each file of records: whether all is there still."""
    files = sorted(directory.glob('Split-*/*'))
    return {str(file.relative_to(directory)): file.stat().st_size for file in files}


def _link(source: str, target: str) -> None:
    """A second name for a file, or a copy of it where the disk knows no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def split_of(sha256: str, splits: SplitConfig, part: Part | None = None) -> str:
    """The split of an image, from the digest of its bytes: never changes when data is added.

    The same rule as TFX's ExampleGen with `partition_feature_name`, which hashes the feature.
    An image that comes as part of `train` stays there, one of `validation` becomes eval or test.
    """
    if part == 'train':
        return 'train'
    if part == 'validation':
        return 'test' if int(sha256, 16) / 2**256 < splits.test_of_validation else 'eval'
    shares = {split: getattr(splits, split) for split in features.SPLITS}
    key = _bytes_feature(sha256.encode()).SerializeToString(deterministic=True)
    bucket = int(hashlib.sha256(key).hexdigest(), 16) % sum(shares.values())
    for split, share in shares.items():
        if bucket < share:
            return split
        bucket -= share
    raise AssertionError('the buckets cover every remainder')


def to_example(image: LabelledImage, classes: tuple[str, ...]) -> tf.train.Example:
    """The canonical `tf.Example` of an image; its bytes are kept as they are.

    Raises:
        DataError: the bytes are not a whole JPEG or PNG image.
    """
    image_format, width, height = _check(image)
    values = {
        features.IMAGE_BYTES: _bytes_feature(image.contents),
        features.IMAGE_FORMAT: _bytes_feature(image_format.encode()),
        features.LABEL: _int_feature(image.label),
        features.CLASS_NAME: _bytes_feature(classes[image.label].encode(errors='surrogateescape')),
        features.FILENAME: _bytes_feature(image.filename.encode(errors='surrogateescape')),
        features.HEIGHT: _int_feature(height),
        features.WIDTH: _int_feature(width),
        features.SHA256: _bytes_feature(hashlib.sha256(image.contents).hexdigest().encode()),
    }
    return tf.train.Example(features=tf.train.Features(feature=values))


def _bytes_feature(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _int_feature(value: int) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _check(image: LabelledImage) -> tuple[str, int, int]:
    """Format, width and height; decodes at an eighth of the size, which reads every byte."""
    try:
        with PIL.Image.open(io.BytesIO(image.contents), formats=_OPENED) as picture:
            image_format, (width, height) = _FORMATS[picture.format or ''], picture.size
            picture.draft('RGB', (max(1, width // 8), max(1, height // 8)))
            picture.load()
        if image_format == 'png' and _PNG_END not in image.contents:  # Pillow does without
            raise OSError('image file is truncated')
    except PIL.UnidentifiedImageError:
        raise DataError(f'{image.filename} is not a JPEG or PNG image') from None
    except (OSError, SyntaxError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise DataError(f'{image.filename} is not a whole JPEG or PNG image: {error}') from error
    return image_format, width, height


def _write(source: Source, splits: SplitConfig, directory: Path) -> Counts:
    """Writes all images; gives how many each split got."""
    seen: Counter[tuple[str, int]] = Counter()
    with contextlib.ExitStack() as stack:
        number = 4 + source.count // _IMAGES_PER_SHARD
        shards = {split: _shards(directory, split, number, stack) for split in features.SPLITS}
        bar = stack.enter_context(progress.bar('images to TFRecords', source.count))
        for image in source.images():
            example = to_example(image, source.classes)
            digest = example.features.feature[features.SHA256].bytes_list.value[0].decode()
            split = split_of(digest, splits, image.part)
            next(shards[split]).write(example.SerializeToString(deterministic=True))
            seen[split, image.label] += 1
            bar.advance()
    return {
        split: {name: seen[split, label] for label, name in enumerate(source.classes)}
        for split in features.SPLITS
    }


def _shards(
    directory: Path, split: str, number: int, stack: contextlib.ExitStack
) -> Iterator[tf.io.TFRecordWriter]:
    """The writers of a split's files, in turn and without end; the stack closes them.

    Sources give one class after the other. Dealt out like cards, every few hundred images hold all
    of them, so that a shuffle with a bounded buffer mixes a set of any size. Not compressed:
    encoded images would not get smaller.
    """
    folder = directory / f'Split-{split}'
    folder.mkdir(parents=True, exist_ok=True)
    names = [folder / f'data_tfrecord-{n:05d}-of-{number:05d}' for n in range(number)]
    return itertools.cycle([stack.enter_context(tf.io.TFRecordWriter(str(n))) for n in names])
