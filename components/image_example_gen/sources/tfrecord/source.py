"""Source for external TFRecords of `tf.Example`s."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from common.errors import DataError, Rejected
from components.image_example_gen.sources.base.data_config import FeatureNames
from components.image_example_gen.sources.base.groups import (
    GroupConfig,
    group_of_name,
    group_of_value,
)
from components.image_example_gen.sources.base.image_files import RECORDS, fingerprint, walk
from components.image_example_gen.sources.base.labels import Labels, make_labels
from components.image_example_gen.sources.base.origins import sources_of_files
from components.image_example_gen.sources.base.reading import MAX_BYTES, convert_os_errors
from components.image_example_gen.sources.base.source_protocol import (
    LONGEST_TEXT,
    BadImage,
    LabelledImage,
    class_name,
    is_class_name,
)
from components.image_example_gen.sources.tfrecord.record_files import (
    RecordRange,
    divide,
    read_records,
)
from components.image_example_gen.sources.tfrecord.wire_format import require_few_values


class TfrecordSource:
    """Images in a TFRecord file, or in all in a folder: `*.tfrecord`, `*-00000-of-00010`, `*.gz`.

    Labels are class indices or class names. By default, the classes are the sorted names among the
    labels, for which all records are read once more.

    Raises:
        DataError: a file is missing or has no records, the features have other names, or there are
            no images or fewer than two classes.
    """

    def __init__(
        self,
        path: Path,
        names: FeatureNames,
        classes: tuple[str, ...] | None = None,
        group_by: GroupConfig | None = None,
        *,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if not path.exists():
            raise DataError(f'{path} does not exist; give a TFRecord file or a folder of files')
        root = path if path.is_dir() else path.parent
        with convert_os_errors():
            files = [path] if path.is_file() else _find(path)
            self.fingerprint = fingerprint(files, root)
        if not files:
            raise DataError(
                f'data folder {path} has no TFRecord files; expected names such as '
                'a.tfrecord, a.tfrecord.gz or a-00000-of-00010'
            )
        self._ranges = divide(files, root)
        self.count = sum(records.count for records in self._ranges)
        if not self.count:
            raise DataError(f'{path} has no images: it has no records')
        self._max_bytes = max_bytes
        records = itertools.chain.from_iterable(
            read_records(each, max_bytes) for each in self._ranges
        )
        own = _label_names(path, records, names, first_only=classes is not None)
        self._labels, self._names = make_labels(path, own, classes), names
        self.classes, self._group_by = self._labels.classes, group_by

    def shards(self) -> list['ExampleShard']:
        sources = sources_of_files((records.name, records.count) for records in self._ranges)
        return [
            ExampleShard(
                records,
                sources[records.name],
                self._names,
                self._labels,
                self._group_by,
                self._max_bytes,
            )
            for records in self._ranges
        ]


@dataclasses.dataclass(frozen=True)
class ExampleShard:
    """The `tf.Example`s of a part of a file."""

    records: RecordRange
    source: str
    names: FeatureNames
    labels: Labels
    group_by: GroupConfig | None = None
    max_bytes: int = MAX_BYTES

    def images(self) -> Iterator[LabelledImage | BadImage]:
        records = read_records(self.records, self.max_bytes)
        for number, record in enumerate(records, self.records.first):
            place = f'{self.records.name}:{number}'
            try:
                image, label, filename, group = _parse(record, self.names, self.group_by)
            except Rejected as error:
                contents = record if isinstance(record, bytes) else b''
                yield BadImage(place, error.reason, error.detail, contents)
                continue
            place = f'{place} ({filename})' if filename else place
            yield self.labels.to_image(image, label, place, self.source, group)


def _find(folder: Path) -> list[Path]:
    files = [parent / name for parent, _, names in walk(folder) for name in names]
    return sorted(file for file in files if RECORDS.fullmatch(file.name) and file.is_file())


def _label_names(
    path: Path, records: Iterable[bytes | Rejected], names: FeatureNames, *, first_only: bool
) -> tuple[str, ...] | None:
    """The sorted class names among the labels; None if labels are numbers, or for `first_only`.

    Raises DataError if no example is valid.
    """
    found: set[str] = set()
    reason: Rejected | None = None
    for record in records:
        try:
            _, label, _, _ = _parse(record, names)
        except Rejected as error:
            reason = error
            continue
        if first_only or isinstance(label, int):
            return None
        if is_class_name(label):
            found.add(class_name(label))
    if not found and reason:
        raise DataError(
            f'{path} has no example that matches data.features: of the last one, {reason.detail}'
        )
    return tuple(sorted(found))


def _parse(
    record: bytes | Rejected, names: FeatureNames, group_by: GroupConfig | None = None
) -> tuple[bytes, int | str, str, str | None]:
    """The image, the label, the file name (or '') and the group (or None) of a record.

    The end of a long text is cut. Raises Rejected if the record is not a `tf.Example`, has too many
    values, or a feature is missing or invalid.
    """
    import tensorflow as tf  # slow to import
    from google.protobuf.message import DecodeError

    if isinstance(record, Rejected):
        raise record
    require_few_values(record)
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        raise Rejected('unreadable', 'its record is not a tf.Example') from None
    image = _single_value(features, names.image, bytes)
    label = _single_value(features, names.label, int, bytes)
    try:
        label = label if isinstance(label, int) else label[:LONGEST_TEXT].decode()
    except UnicodeDecodeError:
        raise Rejected('unreadable', f'its feature {names.label} is not text') from None
    filenames = features[names.filename].bytes_list.value if names.filename else ()
    filename = b''.join(filenames)[:LONGEST_TEXT].decode(errors='surrogateescape')
    group = group_of_name(group_by, filename)
    if group_by and group_by.column and group_by.column in features:
        value = _single_value(features, group_by.column, int, bytes)
        if isinstance(value, bytes):
            value = value[:LONGEST_TEXT].decode(errors='surrogateescape')
        group = group_of_value(value)
    return image, label, filename, group


def _single_value(features: Mapping[str, Any], name: str, *types: type) -> Any:
    """The value of a feature; raises Rejected if it has none, several, or one of another type."""
    if name not in features:
        existing = ', '.join(each[:40] for each in sorted(features)[:20]) or 'none'
        raise Rejected('unreadable', f'its record has no feature {name}; its features: {existing}')
    kind = features[name].WhichOneof('kind')
    values = getattr(features[name], kind).value if kind else []
    if len(values) != 1:
        raise Rejected('unreadable', f'its feature {name} has {len(values)} values; expected one')
    if not isinstance(values[0], types):
        expected = ' or '.join(each.__name__ for each in types)
        given = type(values[0]).__name__
        raise Rejected('unreadable', f'its feature {name} is {given}; expected {expected}')
    return values[0]
