"""Source for TFRecords of `tf.Example`s, also those that ImageExampleGen wrote."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import Rejected
from common.files import open_regular
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.listing import RECORDS, too_large
from components.image_example_gen.sources.base.record_source import (
    Reader,
    Record,
    as_label,
    as_text,
    open_records,
    part_of,
)
from components.image_example_gen.sources.base.source import Source

_GZIP = b'\x1f\x8b\x08'


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


def open_source(
    config: DataConfig, *, complete: bool = True, read: Reader = read_examples
) -> Source:
    """Opens a TFRecord file, or all in a folder: `*.tfrecord`, `*-00000-of-00010`, `*.gz`.

    Labels are numbers or names, see `data.features`. See `open_records`.
    """
    names = '*.tfrecord or *-00000-of-00010'
    return open_records(config, read, _is_used, names, complete=complete)


def _is_used(name: str) -> bool:
    return RECORDS.fullmatch(name) is not None


def _record(features: Mapping[str, Any], config: DataConfig, names: Sequence[str]) -> Record:
    keys = config.features
    image, label = _value(features, keys.image), as_label(_value(features, keys.label))
    label = label if isinstance(image, bytes) else None
    text = as_text(_value(features, keys.text))
    group = config.group_by.column if config.group_by else None
    if isinstance(label, int) and label >= 0:
        label = text or (names[label] if label < len(names) else label)
    contents: bytes | Rejected
    if label is None:
        found = ', '.join(sorted(name[:40] for name in features)[:20]) or 'none'
        wanted = f'bytes {keys.image} or a label {keys.label}'
        detail = f'its record lacks {wanted}; its features: {found}'
        contents = Rejected('unreadable', detail)
    else:
        contents = too_large(config.checks.max_bytes, len(image)) or image
    return Record(
        contents,
        as_text(_value(features, keys.filename)),
        label,
        part_of(keys.split, _value(features, keys.split)) if keys.split else '',
        as_text(_value(features, group)) or None,
    )


def _value(features: Mapping[str, Any], name: str | None) -> Any:
    """The first value of a feature; None without one."""
    if name is None or name not in features:
        return None
    kind = features[name].WhichOneof('kind')
    return next(iter(getattr(features[name], kind).value), None) if kind else None
