"""Makes images in memory, and reads records."""

import dataclasses
import hashlib
from pathlib import Path

import image_bytes
import tensorflow as tf

from components.image_example_gen.ingestion.ingested import Ingested
from components.image_example_gen.sources.base.source_protocol import BadImage, LabelledImage

CLASSES = ('cats', 'dogs')


@dataclasses.dataclass(frozen=True)
class MemoryShard:
    contents: tuple[LabelledImage | BadImage, ...]
    error: BaseException | None = None

    def images(self):
        yield from self.contents
        if self.error:
            raise self.error


class MemorySource:
    """A source of images in memory; raises `error`, if given, after the last one."""

    classes = CLASSES
    notes = ()

    def __init__(self, images, per_shard=25, error=None):
        self._images, self._per_shard, self._error = tuple(images), per_shard, error
        self.count = len(self._images)
        digests = [hashlib.sha256(each.contents).hexdigest() for each in self._images]
        names = [each.filename for each in self._images]
        self.fingerprint = str([digests, names])

    def shards(self):
        starts = range(0, self.count, self._per_shard)
        parts = [self._images[start : start + self._per_shard] for start in starts]
        return [MemoryShard(part, self._error if part is parts[-1] else None) for part in parts]


def picture(seed=0, size=(64, 48)):
    """Coarse noise: different for each seed, and robust to JPEG compression."""
    return image_bytes.noise(size, seed)


def labelled(contents, filename='cats/a.jpg', label=0, part=None):
    return LabelledImage(contents, label, filename, part)


@dataclasses.dataclass(frozen=True)
class Written:
    """An ingested span on disk."""

    records: Path
    quarantine: Path
    ingested: Ingested

    def examples(self, split='*'):
        files = sorted(str(path) for path in self.records.glob(f'Split-{split}/*'))
        records = tf.data.TFRecordDataset(files).as_numpy_iterator()
        return [tf.train.Example.FromString(record) for record in records]

    def split_of(self):
        """The split of each image, by its file name."""
        return {
            value(example, 'image/filename').decode(): split
            for split in ('train', 'eval', 'test')
            for example in self.examples(split)
        }


def value(example, name):
    feature = example.features.feature[name]
    (single,) = getattr(feature, feature.WhichOneof('kind')).value
    return single
