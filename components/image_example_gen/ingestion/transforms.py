"""The two Beam passes that write the records of a span.

`examine_shard` reads and checks every image, and writes its record to one file per shard.
`divide_shard` divides that file into splits, which are known after all images. No image goes
through a Beam shuffle, which some runners hold in memory: the two passes exchange files.

A cluster repeats a step whose worker was lost, and the lost one may still be running. So each
attempt has a folder, which is renamed when it is complete. All attempts write equal files.
"""

import contextlib
import hashlib
import pickle
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from common import features
from common.errors import DataError
from components.image_example_gen.ingestion.assignment import (
    DUPLICATE,
    EXAMINED,
    LABEL_CONFLICT,
)
from components.image_example_gen.ingestion.splits import PARTS, position_of
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import examine_all
from components.image_example_gen.inspection.measures import GoodImage
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import BadImage, LabelledImage, Shard

_RECORDS, _BAD, _RESULT = 'records', 'bad', 'result'  # files of a shard

# Called for each image; not set in the worker processes of other runners.
on_image: Callable[[], None] | None = None


def examine_images(
    images: Iterable[LabelledImage | BadImage], config: CheckConfig
) -> Iterator[tuple[LabelledImage, GoodImage] | BadImage]:
    """Yields the outcome of each image, in order; see `examine_all` for memory and errors."""
    pairs = ((each, None if isinstance(each, BadImage) else each.contents) for each in images)
    for image, outcome in examine_all(pairs, config):
        if isinstance(image, BadImage):
            yield image
        elif isinstance(outcome, GoodImage):
            yield image, outcome
        elif outcome:
            yield BadImage(image.filename, outcome.reason, outcome.detail, image.contents)


class Shards(NamedTuple):
    """The folder of the temporary files of a span, and the settings that workers need."""

    folder: Path
    classes: tuple[str, ...]
    config: DataConfig

    def examined(self, number: int) -> Path:
        """The files of the first pass: records, bad images, and the result."""
        return self.folder / f'examined-{number:05d}'

    def divided(self, number: int) -> Path:
        """The files of the second pass: records of each split, and bad images."""
        return self.folder / f'divided-{number:05d}'

    def result(self, number: int) -> tuple[np.ndarray, dict[str, str]]:
        """The index of the first pass, EXAMINED [n], and digests by file name.

        Raises DataError if a file of many images cannot be read.
        """
        result = pickle.loads((self.examined(number) / _RESULT).read_bytes())
        if isinstance(result, DataError):
            raise result
        index, digests = result
        return index, digests


def bad_images(folder: Path) -> Iterator[BadImage]:
    """The bad images of a pass over a shard."""
    with (folder / _BAD).open('rb') as file, contextlib.suppress(EOFError):
        while True:
            yield pickle.load(file)


@contextlib.contextmanager
def _attempt(target: Path) -> Iterator[Path]:
    """A folder that is renamed if the block succeeds."""
    with tempfile.TemporaryDirectory(prefix='attempt-', dir=target.parent) as unfinished:
        folder = Path(unfinished, target.name)
        folder.mkdir()
        yield folder
        with contextlib.suppress(OSError):  # another attempt was faster
            folder.rename(target)


def examine_shard(numbered: tuple[int, Shard], shards: Shards) -> None:
    """Checks the images of a shard; writes their records, their index and the bad images."""
    number, shard = numbered
    with _attempt(shards.examined(number)) as folder:
        try:
            result: object = _examine(shard, folder, shards)
        except DataError as error:  # Beam would pass on only its text
            result = error
        (folder / _RESULT).write_bytes(pickle.dumps(result))


def _examine(shard: Shard, folder: Path, shards: Shards) -> tuple[np.ndarray, dict[str, str]]:
    rows, digests = [], {}
    with (
        tf.io.TFRecordWriter(str(folder / _RECORDS)) as writer,
        (folder / _BAD).open('wb') as bad,
    ):
        for result in examine_images(shard.images(), shards.config.checks):
            if on_image:
                on_image()
            image = result if isinstance(result, BadImage) else result[0]
            sha256 = hashlib.sha256(image.contents)
            key, group = sha256.hexdigest(), 0
            if image.contents:
                digests[image.filename] = key
            if isinstance(result, BadImage):
                pickle.dump(result, bad)
                continue
            image, good = result
            example = to_example(image, good, key, shards.classes)
            writer.write(example.SerializeToString(deterministic=True))
            if image.group is not None:
                key, group = _identify(image.group, shards.config)
            position = position_of(key, image.part, shards.config.splits)
            hashes = list(sha256.digest()), list(good.perceptual_hash)
            rows.append((*hashes, image.label, 0, PARTS.index(image.part), group, position))
    return np.array(rows, EXAMINED), digests


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
    example = tf.train.Example()
    for name, value in values.items():
        feature = example.features.feature[name]
        lists = {bytes: feature.bytes_list, int: feature.int64_list, float: feature.float_list}
        lists[type(value)].value.append(value)
    return example


def _identify(group: str, config: DataConfig) -> tuple[str, int]:
    """The digest of a group's name, which decides its split, and its identifier in the index.

    Equal names are different groups if `group_by` differs.
    """
    name = unicodedata.normalize('NFC', group).encode(errors='surrogateescape')
    identifier = hashlib.sha256(f'{config.group_by!r}\n'.encode() + name).digest()[:8]
    return hashlib.sha256(name).hexdigest(), int.from_bytes(identifier, 'big')


def divide_shard(assigned: tuple[int, np.ndarray, np.ndarray], shards: Shards) -> None:
    """Writes the used records of one shard, given its number, splits and other labels."""
    number, splits, other_labels = assigned
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_attempt(shards.divided(number)))
        names = *features.SPLITS, _BAD
        *writers, bad = (stack.enter_context((folder / name).open('wb')) for name in names)
        frames = read_frames(shards.examined(number) / _RECORDS)
        for frame, split, other in zip(frames, splits, other_labels, strict=True):
            if split < DUPLICATE:
                writers[split].write(frame)
            elif split == LABEL_CONFLICT:
                pickle.dump(_label_conflict(example_in(frame), shards.classes[other]), bad)


def _label_conflict(record: bytes, other: str) -> BadImage:
    values = tf.train.Example.FromString(record).features.feature
    filename = values[features.FILENAME].bytes_list.value[0].decode(errors='surrogateescape')
    contents = values[features.IMAGE_BYTES].bytes_list.value[0]
    detail = f'the same image, or a near-duplicate, is also labelled {other}'
    return BadImage(filename, 'under two labels', detail, contents)


def read_frames(file: Path) -> Iterator[bytes]:
    """Reads the records of an uncompressed file as they are stored.

    Each has 8 bytes of length, 4 of a checksum, the `tf.Example`, and 4 of a checksum.
    """
    with file.open('rb') as stored:
        while header := stored.read(12):
            yield header + stored.read(int.from_bytes(header[:8], 'little') + 4)


def example_in(frame: bytes) -> bytes:
    """The serialized `tf.Example` of a record."""
    return frame[12:-4]
