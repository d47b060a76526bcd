"""The two Beam passes that write the records of a span.

`examine_shard` reads and checks every image, and writes its record to one file per shard.
`divide_shard` divides that file into splits, which are known after all images. No image goes
through a Beam shuffle, which some runners hold in memory: the two passes exchange small files next
to the records.

A cluster repeats a step whose worker was lost, and the lost one may still be running. So each
attempt has a folder for its files, and renames them when they are complete. All write equal files.
"""

import contextlib
import dataclasses
import hashlib
import json
import pickle
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from common import features
from common.errors import DataError
from common.files import MEGABYTE
from components.image_example_gen.ingestion.assignment import (
    DUPLICATE,
    EXAMINED,
    LABEL_CONFLICT,
)
from components.image_example_gen.ingestion.examined import examine_images
from components.image_example_gen.ingestion.quarantine import QuarantineWriter
from components.image_example_gen.ingestion.records import (
    example_in,
    read_frames,
    record_files,
    to_example,
)
from components.image_example_gen.ingestion.splits import PARTS, position_of
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source_protocol import BadImage, Shard

_LEAST_ROOM = 5e6  # bytes of copies per shard: some large photographs

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
        """The temporary output of the first pass: per shard, records, index and digests."""
        return self.records / 'examined'

    @contextlib.contextmanager
    def attempt(self, target: Path) -> Iterator[Path]:
        """A folder whose files are moved to another one if the block succeeds."""
        self.examined.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='attempt-', dir=self.examined) as unfinished:
            yield Path(unfinished)
            for file in sorted(Path(unfinished).rglob('*')):
                moved = target / file.relative_to(unfinished)
                if file.is_file():
                    file.replace(moved)
                else:
                    moved.mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def quarantine_writer(self, name: str) -> Iterator[QuarantineWriter]:
        """The writer of one shard; `merge_lists` removes copies above the limit of all shards."""
        room = max(self.room / self.shards, min(self.room, _LEAST_ROOM))
        self.quarantine.mkdir(parents=True, exist_ok=True)
        with (
            self.attempt(self.quarantine) as unfinished,
            QuarantineWriter(unfinished, name, room) as writer,
        ):
            yield writer


def examine_shard(numbered: tuple[int, Shard], folders: SpanFolders) -> None:
    """Checks the images of a shard; writes their records, their index and the bad images."""
    number, shard = numbered
    name, rows, digests = f'shard-{number:05d}', [], {}
    try:
        with (
            folders.attempt(folders.examined) as unfinished,
            tf.io.TFRecordWriter(str(unfinished / name)) as writer,
            folders.quarantine_writer(name) as quarantine,
        ):
            for result in examine_images(shard.images(), folders.config.checks):
                if on_image:
                    on_image()
                image = result if isinstance(result, BadImage) else result[0]
                sha256 = hashlib.sha256(image.contents)
                if image.contents:
                    digests[image.filename] = sha256.hexdigest()
                if isinstance(result, BadImage):
                    quarantine.add(result)
                    continue
                image, good = result
                example = to_example(image, good, sha256.hexdigest(), folders.classes)
                writer.write(example.SerializeToString(deterministic=True))
                key, group = sha256.hexdigest(), 0
                if image.group is not None:
                    key, group = _identify(image.group, folders.config)
                position = position_of(key, image.part, folders.config.splits)
                part = PARTS.index(image.part)
                hashes = list(sha256.digest()), list(good.perceptual_hash)
                rows.append((*hashes, image.label, 0, part, group, position))
            np.save(unfinished / f'{name}.npy', np.array(rows, EXAMINED))
            (unfinished / f'{name}.json').write_text(json.dumps(digests))
    except DataError as error:  # Beam would pass on only its text
        (folders.examined / f'{name}.error').write_bytes(pickle.dumps(error))


def _identify(group: str, config: DataConfig) -> tuple[str, int]:
    """The digest of a group's name, which decides its split, and its identifier in the index.

    Equal names are different groups if `group_by` differs.
    """
    name = unicodedata.normalize('NFC', group).encode(errors='surrogateescape')
    identifier = hashlib.sha256(f'{config.group_by!r}\n'.encode() + name).digest()[:8]
    return hashlib.sha256(name).hexdigest(), int.from_bytes(identifier, 'big')


def divide_shard(assigned: tuple[int, np.ndarray, np.ndarray], folders: SpanFolders) -> None:
    """Writes the used records of one shard, given its number, splits and other labels."""
    number, splits, other_labels = assigned
    name = f'shard-{number:05d}'
    with contextlib.ExitStack() as stack:
        unfinished = stack.enter_context(folders.attempt(folders.records))
        quarantine = stack.enter_context(folders.quarantine_writer(f'{name}-labels'))
        writers = []
        for file in record_files(unfinished, number, folders.shards):
            file.parent.mkdir()
            writers.append(stack.enter_context(file.open('wb')))
        frames = read_frames(folders.examined / name)
        for frame, split, other in zip(frames, splits, other_labels, strict=True):
            if split < DUPLICATE:
                writers[split].write(frame)
            elif split == LABEL_CONFLICT:
                quarantine.add(_label_conflict(example_in(frame), folders.classes[other]))


def _label_conflict(record: bytes, other: str) -> BadImage:
    values = tf.train.Example.FromString(record).features.feature
    filename = values[features.FILENAME].bytes_list.value[0].decode(errors='surrogateescape')
    contents = values[features.IMAGE_BYTES].bytes_list.value[0]
    detail = f'the same image, or a near-duplicate, is also labelled {other}'
    return BadImage(filename, 'under two labels', detail, contents)
