"""Source for TFRecords of `tf.Example`s, also those that ImageExampleGen wrote."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common import features
from common.errors import Rejected
from common.files import open_regular
from components.image_example_gen.inspection.check_config import too_large
from components.image_example_gen.sources.base.columns import LABELS, SPLITS
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.parts import part_of
from components.image_example_gen.sources.base.record_source import (
    Reader,
    Record,
    as_label,
    as_text,
    open_records,
)
from components.image_example_gen.sources.base.source import Source

_GZIP = b'\x1f\x8b\x08'
_IMAGES = (features.IMAGE_BYTES, 'image', 'img', 'image_raw')
_FILE_NAMES = (features.FILENAME, 'filename', 'file_name')


def read_examples(
    file: Path, config: DataConfig, numbers: range | None, names: Sequence[str] = ()
) -> Iterator[Record]:
    """Yields the examples of a file; `names` are those of label numbers.

    Raises tf.errors.OpError or DecodeError if the file is damaged.
    """
    import tensorflow as tf  # only workers need it

    with open_regular(file) as opened:
        kind = 'GZIP' if opened.peek(len(_GZIP)).startswith(_GZIP) else ''
    # `tf.data` would start as many threads as the machine has cores, whose address space counts.
    payloads = tf.compat.v1.io.tf_record_iterator(str(file), tf.io.TFRecordOptions(kind))
    first, last = (numbers.start, numbers.stop) if numbers else (0, None)
    for payload in itertools.islice(payloads, first, last):
        yield _record(tf.train.Example.FromString(payload).features.feature, config, names)


def open_source(config: DataConfig, read: Reader = read_examples) -> Source:
    """Opens a TFRecord file, or all in a folder: `*.tfrecord`, `*-00000-of-00010`, `*.gz`.

    Without `data.columns`, the features have the names of TensorFlow Models, or usual ones of a
    table. Labels are numbers or names; the feature `image/class/text` names numbers.
    """
    return open_records(config, read, 'tfrecord', '*.tfrecord or *-00000-of-00010')


def _record(found: Mapping[str, Any], config: DataConfig, names: Sequence[str]) -> Record:
    wanted = config.columns

    def value(name: str | None, *usual: str) -> Any:
        """The first value of a feature; None without one."""
        name = name or next((each for each in usual if each in found), '')
        kind = found[name].WhichOneof('kind') if name in found else None
        return next(iter(getattr(found[name], kind).value), None) if kind else None

    image = value(wanted.image, *_IMAGES)
    label = as_label(value(wanted.label, features.LABEL, *LABELS))
    label = label if isinstance(image, bytes) else None
    split = wanted.split
    if split is None:
        split = next((name for name in SPLITS if name in found), '')
    text = as_text(value(features.CLASS_NAME))
    if isinstance(label, int) and label >= 0:
        label = text or (names[label] if label < len(names) else label)
    contents: bytes | Rejected
    if label is None:
        listed = ', '.join(sorted(name[:40] for name in found)[:20]) or 'none'
        detail = f'its record lacks an image or a label: set data.columns; its features: {listed}'
        contents = Rejected('unreadable', detail)
    else:
        contents = too_large(config.checks.max_bytes, len(image)) or image
    group = config.group_by.column if config.group_by else None
    return Record(
        contents,
        as_text(value(None, *_FILE_NAMES)),
        label,
        part_of(split, as_text(value(split))),
        as_text(value(group)) or None,
    )
