"""Source for external TFRecords of `tf.Example`s."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import DataError, Rejected
from components.image_example_gen.sources.base.config import FeatureNames
from components.image_example_gen.sources.base.image_files import RECORDS, fingerprint, walk
from components.image_example_gen.sources.base.labels import Labels, make_labels
from components.image_example_gen.sources.base.origins import sources_of_files
from components.image_example_gen.sources.base.reading import convert_os_errors
from components.image_example_gen.sources.base.source_protocol import (
    BadImage,
    LabelledImage,
    class_name,
)
from components.image_example_gen.sources.tfrecord.record_files import (
    RecordRange,
    divide,
    read_records,
)


class TfrecordSource:
    """A TFRecord file, or all TFRecord files in a folder: `*.tfrecord`, `*-00000-of-00010`, `*.gz`.

    Labels are class indices or class names.

    Args:
        path: the file, or a folder that is searched at any depth.
        names: of the features.
        classes: names in the order of the labels; None: the sorted names among the labels, for
            which all records are read once more.

    Raises:
        DataError: a file is missing or has no records, the features have other names, or there are
            no images or fewer than two classes.
    """

    def __init__(
        self, path: Path, names: FeatureNames, classes: tuple[str, ...] | None = None
    ) -> None:
        root = path if path.is_dir() else path.parent
        with convert_os_errors():
            files = _find(path)
            self.fingerprint = fingerprint(files, root)
        self._ranges = divide(files, root)
        self.count = sum(records.count for records in self._ranges)
        if not self.count:
            raise DataError(f'{path} has no images: it has no records')
        own = _label_names(path, self._ranges, names, first_only=classes is not None)
        self._names, self._labels = names, make_labels(path, own, classes)
        self.classes = self._labels.classes

    def shards(self) -> list['ExampleShard']:
        sources = sources_of_files((records.name, records.count) for records in self._ranges)
        return [
            ExampleShard(records, sources[records.name], self._names, self._labels)
            for records in self._ranges
        ]


@dataclasses.dataclass(frozen=True)
class ExampleShard:
    """The `tf.Example`s of a part of a file."""

    records: RecordRange
    source: str
    names: FeatureNames
    labels: Labels

    def images(self) -> Iterator[LabelledImage | BadImage]:
        for number, record in enumerate(read_records(self.records), self.records.first):
            place = f'{self.records.name}:{number}'
            try:
                example = _parse(record, self.names)
            except Rejected as error:
                contents = record if isinstance(record, bytes) else b''
                yield BadImage(place, error.reason, error.detail, contents)
                continue
            filename = f'{place} ({example.filename})' if example.filename else place
            yield self.labels.to_image(example.image, example.label, filename, self.source)


def _find(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f'{path} does not exist; give a TFRecord file, or a folder of such files')
    files = [parent / name for parent, _, names in walk(path) for name in names]
    files = sorted(file for file in files if RECORDS.fullmatch(file.name) and file.is_file())
    if not files:
        raise DataError(
            f'data folder {path} has no TFRecord files; expected names such as '
            'a.tfrecord, a.tfrecord.gz or a-00000-of-00010'
        )
    return files


def _label_names(
    path: Path, ranges: Sequence[RecordRange], names: FeatureNames, *, first_only: bool
) -> tuple[str, ...] | None:
    """The sorted class names among the labels; None if labels are numbers, or for `first_only`.

    Raises:
        DataError: no example is valid.
    """
    found: set[str] = set()
    reason: Rejected | None = None
    for record in (record for records in ranges for record in read_records(records)):
        try:
            label = _parse(record, names).label
        except Rejected as error:
            reason = error
            continue
        if first_only or isinstance(label, int):
            return None
        found.add(class_name(label))
    if not found and reason:
        raise DataError(
            f'{path} has no example that matches data.features: of the last one, {reason.detail}'
        )
    return tuple(sorted(found))


class _Example(NamedTuple):
    image: bytes
    label: int | str
    filename: str


def _parse(record: bytes | Rejected, names: FeatureNames) -> _Example:
    """Raises Rejected if the record is not a `tf.Example`, or a feature is missing or invalid."""
    import tensorflow as tf  # slow to import
    from google.protobuf.message import DecodeError

    if isinstance(record, Rejected):
        raise record
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        raise Rejected('unreadable', 'its record is not a tf.Example') from None
    image = _single_value(features, names.image, bytes)
    label = _single_value(features, names.label, int, bytes)
    try:
        label = label if isinstance(label, int) else label.decode()
    except UnicodeDecodeError:
        raise Rejected('unreadable', f'its feature {names.label} is not text') from None
    filenames = features[names.filename].bytes_list.value if names.filename else ()
    return _Example(image, label, b''.join(filenames).decode(errors='surrogateescape'))


def _single_value(features: Mapping[str, Any], name: str, *types: type) -> Any:
    """The value of a feature; raises Rejected if it has none, several, or one of another type."""
    if name not in features:
        existing = ', '.join(sorted(features)) or 'none'
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
