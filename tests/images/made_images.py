"""Makes images in memory, and reads records."""

import dataclasses
import hashlib
import pickle
from pathlib import Path

import image_bytes
import tensorflow as tf

from components.image_example_gen.ingestion.ingested import Ingested
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import Labels
from components.image_example_gen.sources.base.source import (
    BadImage,
    LabelledImage,
    Shard,
    Source,
)

CLASSES = ('cats', 'dogs')


@dataclasses.dataclass(frozen=True)
class MemoryShard(Shard):
    contents: tuple[LabelledImage | BadImage, ...] = ()
    error: BaseException | None = None

    def images(self):
        yield from self.contents
        if self.error:
            raise self.error


LABELS = Labels(CLASSES)


def shard_of(images, error=None):
    return MemoryShard(DataConfig(), tuple(images), error)


def memory_source(images, per_shard=25, error=None):
    """A source of images in memory; raises `error`, if given, after the last one."""
    images = tuple(images)
    starts = range(0, len(images), per_shard)
    shards = [shard_of(images[start : start + per_shard]) for start in starts]
    shards[-1:] = [dataclasses.replace(shards[-1], error=error)] if shards else []
    digest = hashlib.sha256(pickle.dumps(images)).hexdigest()
    return Source('memory', {'': None}, {('', 'cats'): len(images)}, shards, digest, labels=LABELS)


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
