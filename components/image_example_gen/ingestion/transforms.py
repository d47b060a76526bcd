"""The two passes over the images of a span, as Beam transforms.

The first reads, checks and writes every image, to the split that it would have alone. When all are
known, those that are copies of others are moved or taken out again, in the second; it only reads
the few files that hold such. No image goes through a shuffle of Beam, which some runners keep in
memory; what the passes tell one another is in small files beside the records.
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import tensorflow as tf

from common import features
from common.errors import DataError, Rejected
from common.files import MEGABYTE
from components.image_example_gen.ingestion.duplicates import BETWEEN, DUPLICATE, IMAGE, TWO_LABELS
from components.image_example_gen.ingestion.in_order import in_order
from components.image_example_gen.ingestion.quarantine import QuarantineWriter
from components.image_example_gen.ingestion.records import (
    SplitWriter,
    read_records,
    record_files,
    split_of,
    to_example,
)
from components.image_example_gen.inspection.config import CheckConfig
from components.image_example_gen.inspection.examine import GoodImage, examine
from components.image_example_gen.sources.base.config import SplitConfig
from components.image_example_gen.sources.base.source_protocol import BadImage, LabelledImage, Shard

_LEAST_ROOM = 5e6  # bytes of copies in each shard: those of some large photographs
EXAMINED = 'examined'

# Who is told that an image is done; the processes of other runners tell nobody.
_on_image: Callable[[], None] | None = None


@contextlib.contextmanager
def telling(on_image: Callable[[], None]) -> Iterator[None]:
    """Calls a function for each image that is examined in this process."""
    global _on_image
    _on_image = on_image
    try:
        yield
    finally:
        _on_image = None


@dataclasses.dataclass(frozen=True)
class SpanFolders:
    """Where what becomes of a span is written, and what a worker needs to know for it.

    Attributes:
        records: the Examples of the span.
        quarantine: of the span.
        examined: inside of the records while they are made: what the first pass wrote.
        shards: how many there are.
        classes: names in the order of the labels.
        splits: how images are divided.
        checks: limits of an image.
    """

    records: Path
    quarantine: Path
    shards: int
    classes: tuple[str, ...]
    splits: SplitConfig
    checks: CheckConfig

    @property
    def examined(self) -> Path:
        return self.records / EXAMINED

    def index(self, number: int) -> Path:
        """What is known of the images of a shard: an array of IMAGE, in the order of the files."""
        return self.examined / f'index-{number:05d}.npy'

    def error(self, number: int) -> Path:
        """A sentence, where the shard could not be read at all."""
        return self.examined / f'error-{number:05d}.txt'

    def quarantine_writer(self, name: str) -> QuarantineWriter:
        """For one shard; it has more than its share, and what is too much goes at the end."""
        room = self.checks.quarantine_megabytes * MEGABYTE
        share = max(room / self.shards, min(room, _LEAST_ROOM))
        return QuarantineWriter(self.quarantine, name, int(share))


class ExamineImages(beam.PTransform):
    """Checks the images of numbered shards and writes their records; gives the numbers."""

    def __init__(self, folders: SpanFolders) -> None:
        super().__init__()
        self._folders = folders

    def expand(self, shards: beam.PCollection) -> beam.PCollection:
        return shards | beam.Reshuffle() | beam.Map(_examine_shard, self._folders)


class MoveRecords(beam.PTransform):
    """Writes the records of numbered shards to the splits that were decided, or leaves them out.

    It reads what the first pass wrote and leaves it there, so that it may be done again.
    """

    def __init__(self, folders: SpanFolders) -> None:
        super().__init__()
        self._folders = folders

    def expand(self, decisions: beam.PCollection) -> beam.PCollection:
        return decisions | beam.Reshuffle() | beam.Map(_move_records, self._folders)


def _examine_shard(numbered: tuple[int, Shard], folders: SpanFolders) -> int:
    number, shard = numbered
    folders.examined.mkdir(parents=True, exist_ok=True)
    inspect = functools.partial(_inspect, checks=folders.checks)
    written: list[list[tuple[object, ...]]] = [[] for _ in features.SPLITS]
    try:
        with (
            SplitWriter(record_files(folders.examined, number, folders.shards)) as records,
            folders.quarantine_writer(f'shard-{number:05d}') as quarantine,
        ):
            for found in in_order(inspect, shard.images()):
                if _on_image:
                    _on_image()
                if isinstance(found, BadImage):
                    quarantine.add(found)
                    continue
                image, good = found
                digest = hashlib.sha256(image.contents)
                split = split_of(digest.hexdigest(), folders.splits, image.part)
                place = features.SPLITS.index(split)
                example = to_example(image, good, digest.hexdigest(), folders.classes)
                records.write(place, example.SerializeToString(deterministic=True))
                written[place].append(
                    (
                        list(digest.digest()),
                        list(good.perceptual_hash),
                        image.label,
                        place,
                        image.part == 'train',
                    )
                )
    except DataError as error:  # Beam would put its own words around it
        folders.error(number).write_text(str(error))
    np.save(folders.index(number), np.array([*itertools.chain(*written)], IMAGE))
    return number


def _inspect(
    image: LabelledImage | BadImage, checks: CheckConfig
) -> tuple[LabelledImage, GoodImage] | BadImage:
    if isinstance(image, BadImage):
        return image
    try:
        return image, examine(image.contents, checks)
    except Rejected as error:
        return BadImage(image.filename, error.reason, error.detail, image.contents)


def _move_records(numbered: tuple[int, np.ndarray, np.ndarray], folders: SpanFolders) -> int:
    number, places, other_labels = numbered
    examined = record_files(folders.examined, number, folders.shards)
    with (
        SplitWriter(record_files(folders.records, number, folders.shards)) as records,
        folders.quarantine_writer(f'shard-{number:05d}-copies') as quarantine,
    ):
        for record, place, other in zip(read_records(examined), places, other_labels, strict=True):
            if place < DUPLICATE:
                records.write(int(place), record)
            elif place == TWO_LABELS:
                quarantine.add(_contradictory(record, folders.classes[other]))
            else:
                assert place in (DUPLICATE, BETWEEN)
    return number


def _contradictory(record: bytes, other: str) -> BadImage:
    found = tf.train.Example.FromString(record).features.feature

    def text(name: str) -> str:
        return str(found[name].bytes_list.value[0].decode(errors='surrogateescape'))

    detail = f'the same image, or a copy of it, stands under {other} too'
    contents = found[features.IMAGE_BYTES].bytes_list.value[0]
    return BadImage(text(features.FILENAME), 'under two labels', detail, contents)
