"""Source for TFRecords of `tf.Example`s, also those that ImageExampleGen wrote."""

import dataclasses
from collections.abc import Iterator

from common.errors import Rejected
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.listing import RECORDS
from components.image_example_gen.sources.base.record_source import Reading, RecordSource, call
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
)
from components.image_example_gen.sources.tfrecord.reader import (
    Records,
    parse,
    read_range,
    scan,
)


class TfrecordSource(RecordSource[Records]):
    """A TFRecord file, or all in a folder: `*.tfrecord`, `*-00000-of-00010`, `*.gz`.

    Labels are numbers or names, see `data.features`; by default, the classes are those of all
    labels. The parts of records of ImageExampleGen are their folders `Split-train`, `Split-eval`
    and `Split-test`. Raises the errors of RecordSource.
    """

    def __init__(self, config: DataConfig, *, complete: bool = True) -> None:
        super().__init__(
            config, '*.tfrecord or *-00000-of-00010', _has_records, scan, complete=complete
        )

    def shards(self) -> list['ExampleShard']:
        """About IMAGES_PER_SHARD records each; a compressed file is one shard."""
        shards = []
        for records, reading in self.readings():
            starts = [n * IMAGES_PER_SHARD for n in range(len(records.offsets))]
            ends = [*starts[1:], records.count]
            for start, end in zip(starts, ends, strict=True):
                shards.append(ExampleShard(records, reading, start, end - start))
        return shards


@dataclasses.dataclass(frozen=True)
class ExampleShard:
    """Consecutive records of a file."""

    records: Records
    reading: Reading
    first: int  # number of the first record
    count: int

    def images(self) -> Iterator[LabelledImage | BadImage]:
        return call(self.records.file, _read, self)


def _read(shard: ExampleShard) -> Iterator[LabelledImage | BadImage]:
    reading = shard.reading
    records = read_range(shard.records, shard.first, shard.count, reading.config)
    for number, record in enumerate(records, shard.first):
        place = f'{shard.records.name}:{number}'
        try:
            image, label, _, path, split, group = parse(record, reading.config)
        except Rejected as error:
            contents = record if isinstance(record, bytes) else b''
            yield BadImage(place, error.reason, error.detail, contents)
            continue
        if reading.is_used(split):
            yield reading.to_image(place, image, label, path, split, group)


def _has_records(name: str) -> bool:
    return RECORDS.fullmatch(name) is not None
