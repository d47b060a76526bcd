"""The two Beam passes that write the records of a span.

`examine_shard` reads and checks every image, and writes its record to one file per shard.
`divide_shard` divides that file into splits, which are known after all images. No image goes
through a Beam shuffle, which some runners hold in memory: the two passes exchange files.

A cluster repeats a step whose worker was lost, and the lost one may still be running. So a file is
replaced when it is complete. All attempts write equal files.
"""

import contextlib
import hashlib
import pickle
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from common import features
from common.errors import DataError, Rejected
from common.files import replacing
from components.image_example_gen.ingestion.assignment import DUPLICATE
from components.image_example_gen.ingestion.duplicates import IMAGE
from components.image_example_gen.ingestion.splits import PARTS
from components.image_example_gen.inspection.examine import examine_all
from components.image_example_gen.inspection.measures import GoodImage
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import BadImage, LabelledImage, Shard

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


class Examined(NamedTuple):
    """The result of the first pass for a shard."""

    entries: np.ndarray  # IMAGE [n], of the records
    names: list[str]  # of the files of the records
    digests: dict[str, str]  # SHA-256 of each file that was read, by name
    bad: list[BadImage]


class Shards(NamedTuple):
    """The folder of the temporary files of a span, and the settings that workers need."""

    folder: Path
    classes: tuple[str, ...]
    config: DataConfig

    def examined(self, number: int) -> Path:
        """The records of the first pass."""
        return self.folder / f'examined-{number:05d}'

    def divided(self, number: int, split: str) -> Path:
        """The records of a split, of the second pass."""
        return self.folder / f'{split}-{number:05d}'

    def result(self, number: int) -> Examined:
        """The result of the first pass; raises DataError if a file of many images is unreadable."""
        result = pickle.loads(self._result(number).read_bytes())
        if isinstance(result, DataError):
            raise result
        assert isinstance(result, Examined)
        return result

    def write_result(self, number: int, result: Examined | DataError) -> None:
        """Stores the result, or the error, of which Beam would pass on only the text."""
        with replacing(self._result(number)) as partial:
            partial.write_bytes(pickle.dumps(result))

    def _result(self, number: int) -> Path:
        return self.folder / f'result-{number:05d}'


def examine_shard(numbered: tuple[int, Shard], shards: Shards) -> None:
    """Checks the images of a shard; writes the records of the good ones, and the result."""
    number, shard = numbered
    result = Examined(np.empty(0, IMAGE), [], {}, [])
    rows = []
    try:
        with (
            replacing(shards.examined(number)) as partial,
            tf.io.TFRecordWriter(str(partial)) as writer,
        ):
            pairs = ((each, getattr(each, 'contents', None)) for each in shard.images())
            for image, outcome in examine_all(pairs, shards.config.checks):
                if _on_image:
                    _on_image()
                if isinstance(image, BadImage):
                    result.bad.append(image)
                    continue
                sha256 = hashlib.sha256(image.contents)
                result.digests[image.filename] = key = sha256.hexdigest()
                if isinstance(outcome, Rejected):
                    result.bad.append(BadImage(image.filename, outcome.reason, outcome.detail))
                    continue
                assert outcome
                example = to_example(image, outcome, key, shards.classes)
                writer.write(example.SerializeToString(deterministic=True))
                hashes = list(sha256.digest()), list(outcome.perceptual_hash)
                group = _identify(image.group, shards.config)
                rows.append((*hashes, image.label, 0, PARTS.index(image.part), group))
                result.names.append(image.filename)
    except DataError as error:
        shards.write_result(number, error)
    else:
        shards.write_result(number, result._replace(entries=np.array(rows, IMAGE)))


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


def divide_shard(assigned: tuple[int, np.ndarray], shards: Shards) -> None:
    """Writes the used records of one shard, given its number and their splits."""
    number, splits = assigned
    with contextlib.ExitStack() as stack:
        targets = [shards.divided(number, split) for split in features.SPLITS]
        partials = [stack.enter_context(replacing(each)) for each in targets]
        writers = [stack.enter_context(each.open('wb')) for each in partials]
        for frame, split in zip(_read_frames(shards.examined(number)), splits, strict=True):
            if split < DUPLICATE:
                writers[split].write(frame)


def _read_frames(file: Path) -> Iterator[bytes]:
    """Reads the records of an uncompressed file as they are stored.

    Each has 8 bytes of length, 4 of a checksum, the `tf.Example`, and 4 of a checksum.
    """
    with file.open('rb') as stored:
        while header := stored.read(12):
            yield header + stored.read(int.from_bytes(header[:8], 'little') + 4)
