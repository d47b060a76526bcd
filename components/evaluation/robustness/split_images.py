"""Single images of a split, for what TFMA does not look at."""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import tensorflow as tf

from common import features

_Item = TypeVar('_Item')


class RecordedImage(NamedTuple):
    """An image of a record.

    Attributes:
        contents: bytes of a JPEG or PNG.
        label: index into the classes.
        filename: as in the record.
    """

    contents: bytes
    label: int
    filename: str

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of the contents."""
        return hashlib.sha256(self.contents).hexdigest()


@dataclasses.dataclass(frozen=True)
class RecordedImages:
    """The images of TFRecords, read anew each time that they are gone through.

    Attributes:
        files: gzipped or not, as ExampleGens write them.
    """

    files: tuple[Path, ...]

    def __iter__(self) -> Iterator[RecordedImage]:
        for file in self.files:
            compression = 'GZIP' if file.suffix == '.gz' else ''
            for record in tf.data.TFRecordDataset(str(file), compression).as_numpy_iterator():
                yield _image_of(record)


def _image_of(record: bytes) -> RecordedImage:
    found = tf.train.Example.FromString(record).features.feature
    name = found[features.FILENAME].bytes_list.value
    return RecordedImage(
        found[features.IMAGE_BYTES].bytes_list.value[0],
        found[features.LABEL].int64_list.value[0],
        name[0].decode(errors='replace') if name else '',
    )


def batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """The items, so many at a time; the last ones may be fewer."""
    batch: list[_Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
