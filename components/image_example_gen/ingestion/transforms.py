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
from components.image_example_gen.ingestion.assignment import DUPLICATE, LABEL_CONFLICT
from components.image_example_gen.ingestion.duplicates import IMAGE
from components.image_example_gen.ingestion.quarantine import LIST, line_of
from components.image_example_gen.ingestion.splits import PARTS
from components.image_example_gen.inspection.check_config import CheckConfig
from components.image_example_gen.inspection.examine import examine_all
from components.image_example_gen.inspection.measures import GoodImage
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import BadImage, LabelledImage, Shard

_RECORDS, _RESULT = 'records', 'result'  # files of a shard

_on_image: Callable[[], None] | None = None  # not set in the worker processes of other runners


@contextlib.contextmanager
def calling(function: Callable[[], None]) -> Iterator[None]:
    """Calls a function for each image that this process examines in the block."""
    global _on_image
    _on_image = function
    try:
        yield
    finally:
        _on_image = None


def examine_images(
    images: Iterable[LabelledImage | BadImage], config: CheckConfig
) -> Iterator[tuple[LabelledImage, GoodImage | BadImage] | BadImage]:
    """Yields each image with its outcome, in order; see `examine_all` for memory and errors.

    One that the source could not read is a BadImage alone.
    """
    pairs = ((each, None if isinstance(each, BadImage) else each.contents) for each in images)
    for image, outcome in examine_all(pairs, config):
        if isinstance(image, BadImage):
            yield image
        elif isinstance(outcome, GoodImage):
            yield image, outcome
        elif outcome:
            yield image, BadImage(image.filename, outcome.reason, outcome.detail)


class Shards(NamedTuple):
    """The folder of the temporary files of a span, and the settings that workers need."""

    folder: Path
    classes: tuple[str, ...]
    config: DataConfig

    def examined(self, number: int) -> Path:
        """The files of the first pass: records, quarantine, and the result."""
        return self.folder / f'examined-{number:05d}'

    def divided(self, number: int) -> Path:
        """The files of the second pass: records of each split, and quarantine."""
        return self.folder / f'divided-{number:05d}'

    def result(self, number: int) -> tuple[np.ndarray, dict[str, str]]:
        """The index of the first pass, IMAGE [n], and digests by file name.

        Raises DataError if a file of many images cannot be read.
        """
        result = pickle.loads((self.examined(number) / _RESULT).read_bytes())
        if isinstance(result, DataError):
            raise result
        index, digests = result
        return index, digests


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
        (folder / LIST).open('w') as quarantined,
    ):
        for result in examine_images(shard.images(), shards.config.checks):
            if _on_image:
                _on_image()
            if isinstance(result, BadImage):
                quarantined.write(line_of(result))
                continue
            image, good = result
            sha256 = hashlib.sha256(image.contents)
            digests[image.filename] = key = sha256.hexdigest()
            if isinstance(good, BadImage):
                quarantined.write(line_of(good))
                continue
            example = to_example(image, good, key, shards.classes)
            writer.write(example.SerializeToString(deterministic=True))
            hashes = list(sha256.digest()), list(good.perceptual_hash)
            group = _identify(image.group, shards.config)
            rows.append((*hashes, image.label, 0, PARTS.index(image.part), group))
    return np.array(rows, IMAGE), digests


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


def _identify(group: str | None, config: DataConfig) -> int:
    """The identifier of a group in the index, a digest of its name; 0 without one.

    Equal names are different groups if `group_by` differs.
    """
    if group is None:
        return 0
    name = unicodedata.normalize('NFC', group).encode(errors='surrogateescape')
    digest = hashlib.sha256(f'{config.group_by!r}\n'.encode() + name).digest()
    return int.from_bytes(digest[:8], 'big')


def divide_shard(assigned: tuple[int, np.ndarray, np.ndarray], shards: Shards) -> None:
    """Writes the used records of one shard, given its number, splits and other labels."""
    number, splits, other_labels = assigned
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(_attempt(shards.divided(number)))
        names = *features.SPLITS, LIST
        *writers, bad = (stack.enter_context((folder / name).open('wb')) for name in names)
        frames = read_frames(shards.examined(number) / _RECORDS)
        for frame, split, other in zip(frames, splits, other_labels, strict=True):
            if split < DUPLICATE:
                writers[split].write(frame)
            elif split == LABEL_CONFLICT:
                values = tf.train.Example.FromString(example_in(frame)).features.feature
                name = values[features.FILENAME].bytes_list.value[0]
                detail = (
                    'the same image, or a near-duplicate, is also labelled ' + shards.classes[other]
                )
                filename = name.decode(errors='surrogateescape')
                bad.write(line_of(BadImage(filename, 'under two labels', detail)).encode())


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
