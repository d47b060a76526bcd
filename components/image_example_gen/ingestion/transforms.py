"""The two Beam passes that write the records of a span.

`examine_shard` reads and checks every image, and writes it to the split that it has on its own.
Duplicates are known after all images; `move_records` then rewrites the files that contain any. No
image goes through a Beam shuffle, which some runners hold in memory: the two passes exchange small
files next to the records.

A cluster repeats a step whose worker was lost, and the lost one may still be running. So each
attempt has a folder for its files, and renames them when they are complete. All write equal files.
"""

import dataclasses
import hashlib
import itertools
import pickle
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from common import features
from common.errors import DataError
from common.files import MEGABYTE
from components.image_example_gen.ingestion.duplicates import DUPLICATE, IMAGE, LABEL_CONFLICT
from components.image_example_gen.ingestion.examined import examine_images
from components.image_example_gen.ingestion.quarantine import QuarantineWriter
from components.image_example_gen.ingestion.records import (
    read_records,
    record_files,
    split_of,
    split_writers,
    to_example,
)
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import BadImage, Shard

_LEAST_ROOM = 5e6  # bytes of copies per shard: some large photographs
ERRORS = 'error-*.pickle'  # of shards that cannot be read

# Called for each image; not set in the worker processes of other runners.
on_image: Callable[[], None] | None = None


@dataclasses.dataclass(frozen=True)
class SpanFolders:
    """Output folders of a span, and the settings that workers need."""

    records: Path
    quarantine: Path
    shards: int
    classes: tuple[str, ...]
    config: DataConfig

    @property
    def room(self) -> float:
        """Bytes for copies of bad images."""
        return self.config.checks.quarantine_megabytes * MEGABYTE

    @property
    def examined(self) -> Path:
        """The temporary output of the first pass."""
        return self.records / 'examined'

    def index(self, number: int) -> Path:
        """The index of a shard: an array of IMAGE, in the order of its records."""
        return self.examined / f'index-{number:05d}.npy'

    def attempt(self) -> tempfile.TemporaryDirectory[str]:
        """A folder for the unfinished files of one attempt; that of a killed one stays."""
        self.examined.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(prefix='attempt-', dir=self.examined)

    def quarantine_writer(self, name: str, unfinished: Path) -> QuarantineWriter:
        """The writer of one shard; `merge_lists` removes copies above the limit of all shards."""
        share = max(self.room / self.shards, min(self.room, _LEAST_ROOM))
        return QuarantineWriter(self.quarantine, name, int(share), unfinished)


def examine_shard(numbered: tuple[int, Shard], folders: SpanFolders) -> None:
    """Checks the images of a shard, and writes their records, their index and bad images."""
    number, shard = numbered
    with folders.attempt() as unfinished:
        _examine_shard(number, shard, folders, Path(unfinished))


def _examine_shard(number: int, shard: Shard, folders: SpanFolders, unfinished: Path) -> None:
    index: list[list[tuple[object, ...]]] = [[] for _ in features.SPLITS]
    files = record_files(folders.examined, number, folders.shards)
    try:
        with (
            split_writers(files, unfinished) as writers,
            folders.quarantine_writer(f'shard-{number:05d}', unfinished) as quarantine,
        ):
            for result in examine_images(shard.images(), folders.config.checks):
                if on_image:
                    on_image()
                if isinstance(result, BadImage):
                    quarantine.add(result)
                    del result
                    continue
                image, good = result
                sha256 = hashlib.sha256(image.contents)
                key, group = sha256.hexdigest(), 0
                if image.group is not None:
                    key, group = _identify(image.group, folders.config)
                split = split_of(key, folders.config.splits, image.part)
                position = features.SPLITS.index(split)
                example = to_example(image, good, sha256.hexdigest(), folders.classes)
                writers[position].write(example.SerializeToString(deterministic=True))
                hashes = list(sha256.digest()), list(good.perceptual_hash)
                fixed = image.part in features.SPLITS
                index[position].append((*hashes, image.label, position, fixed, group))
                del result, image, good, example  # one may be large
    except DataError as error:  # Beam would wrap it in a message of its own
        (folders.examined / f'error-{number:05d}.pickle').write_bytes(pickle.dumps(error))
    np.save(unfinished / 'index.npy', np.array([*itertools.chain(*index)], IMAGE))
    (unfinished / 'index.npy').replace(folders.index(number))


def _identify(group: str, config: DataConfig) -> tuple[str, int]:
    """The digest of a group's name, which decides its split, and its identifier in the index.

    Equal names are different groups if `group_by` differs.
    """
    name = unicodedata.normalize('NFC', group).encode(errors='surrogateescape')
    identifier = hashlib.sha256(f'{config.group_by!r}\n'.encode() + name).digest()[:8]
    return hashlib.sha256(name).hexdigest(), int.from_bytes(identifier, 'big')


def move_records(assigned: tuple[int, np.ndarray, np.ndarray], folders: SpanFolders) -> None:
    """Writes the used records of one shard, given its number, splits and other labels.

    Idempotent: it does not change the output of the first pass.
    """
    number, splits, other_labels = assigned
    examined = record_files(folders.examined, number, folders.shards)
    records = record_files(folders.records, number, folders.shards)
    with (
        folders.attempt() as unfinished,
        split_writers(records, Path(unfinished)) as writers,
        folders.quarantine_writer(f'shard-{number:05d}-copies', Path(unfinished)) as quarantine,
    ):
        for record, split, other in zip(read_records(examined), splits, other_labels, strict=True):
            if split < DUPLICATE:
                writers[split].write(record)
            elif split == LABEL_CONFLICT:
                quarantine.add(_label_conflict(record, folders.classes[other]))


def _label_conflict(record: bytes, other: str) -> BadImage:
    values = tf.train.Example.FromString(record).features.feature
    filename = values[features.FILENAME].bytes_list.value[0].decode(errors='surrogateescape')
    contents = values[features.IMAGE_BYTES].bytes_list.value[0]
    detail = f'the same image, or a near-duplicate, is also labelled {other}'
    return BadImage(filename, 'under two labels', detail, contents)
