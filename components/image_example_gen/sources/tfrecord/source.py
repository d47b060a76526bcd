"""Source for external TFRecords of `tf.Example`s."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import DataError
from components.image_example_gen.sources.base.config import FeatureNames
from components.image_example_gen.sources.base.image_files import RECORDS, fingerprint
from components.image_example_gen.sources.base.labels import Labels, make_labels
from components.image_example_gen.sources.base.origins import sources_of_files
from components.image_example_gen.sources.base.reading import convert_os_errors
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
    class_name,
)
from components.image_example_gen.sources.tfrecord.record_files import (
    BadRecord,
    RecordRange,
    read_records,
    record_ranges,
)


class TfrecordSource:
    """A TFRecord file, or all TFRecord files in a folder: `*.tfrecord`, `*-00000-of-00010`, `*.gz`.

    Labels are class indices or class names. Files are divided by the headers of their records; a
    compressed file is read once for its headers, and is one shard.

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
        self._parts = divide(files, root)
        self.count = sum(part.records.count for part in self._parts)
        if not self.count:
            raise DataError(f'{path} has no images: it has no records')
        first = _first_label(path, self._parts, names)
        own = None
        if classes is None and isinstance(first, str):
            own = tuple(sorted(_label_names(self._parts, names)))
        self._names, self._labels = names, make_labels(path, own, classes)
        self.classes = self._labels.classes

    def shards(self) -> list['ExampleShard']:
        sources = sources_of_files((part.name, part.records.count) for part in self._parts)
        parts = [part._replace(source=sources[part.name]) for part in self._parts]
        return [ExampleShard(part, self._names, self._labels) for part in parts]


class RecordPart(NamedTuple):
    """Some records of a file.

    Attributes:
        file: the file.
        name: path of the file, for the names of images.
        records: their range.
        source: of the images.
    """

    file: Path
    name: str
    records: RecordRange
    source: str = ''


def divide(files: Iterable[Path], root: Path) -> list[RecordPart]:
    """Divides files into parts of IMAGES_PER_SHARD records; names are relative to `root`.

    Raises:
        DataError: a file cannot be read, or is damaged between two records.
    """
    return [
        RecordPart(file, str(file.relative_to(root)), records)
        for file in files
        for records in record_ranges(file, IMAGES_PER_SHARD)
    ]


@dataclasses.dataclass(frozen=True)
class ExampleShard:
    """The `tf.Example`s of a part of a file.

    Attributes:
        part: the records.
        names: of the features.
        labels: of the source.
    """

    part: RecordPart
    names: FeatureNames
    labels: Labels

    def images(self) -> Iterator[LabelledImage | BadImage]:
        records = read_records(self.part.file, self.part.records)
        for number, record in enumerate(records, self.part.records.first):
            yield self._to_image(record, f'{self.part.name}:{number}')

    def _to_image(self, record: bytes | BadRecord, place: str) -> LabelledImage | BadImage:
        if isinstance(record, BadRecord):
            return BadImage(place, *record)
        contents = record
        try:
            values = _values(record)
            contents = _image(values, self.names)
            label = _label(values, self.names)
        except _InvalidExample as error:
            return BadImage(place, 'unreadable', str(error), contents)
        names = values.get(self.names.filename, ()) if self.names.filename else ()
        if names and isinstance(names[0], bytes):
            place = f'{place} ({names[0].decode(errors="surrogateescape")})'
        index = self.labels.index(label)
        if index is None:
            detail = self.labels.describe_unknown(label)
            return BadImage(place, 'label outside the list', detail, contents)
        return LabelledImage(contents, index, place, source=self.part.source)


def _find(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f'{path} does not exist; give a TFRecord file, or a folder of such files')
    files = [
        file
        for file in sorted(path.rglob('*'))
        if RECORDS.fullmatch(file.name) and file.is_file() and not _hidden(file.relative_to(path))
    ]
    if not files:
        raise DataError(
            f'data folder {path} has no TFRecord files; expected names such as '
            'a.tfrecord, a.tfrecord.gz or a-00000-of-00010'
        )
    return files


def _hidden(file: Path) -> bool:
    return any(part.startswith('.') for part in file.parts)


class _InvalidExample(ValueError):
    """A record cannot be used; the message is the reason in one clause."""


def _values(record: bytes | BadRecord) -> dict[str, Sequence[Any]]:
    """The values of each feature of a `tf.Example`: bytes, integers or floats.

    Raises:
        _InvalidExample: the record is not a `tf.Example`.
    """
    import tensorflow as tf  # slow to import
    from google.protobuf.message import DecodeError

    if isinstance(record, BadRecord):
        raise _InvalidExample(record.detail)
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        raise _InvalidExample('its record is not a tf.Example') from None
    return {
        name: getattr(feature, feature.WhichOneof('kind')).value
        for name, feature in features.items()
        if feature.WhichOneof('kind')
    }


def _image(values: dict[str, Sequence[Any]], names: FeatureNames) -> bytes:
    contents = _single_value(values, names.image)
    if not isinstance(contents, bytes):
        raise _InvalidExample(f'its feature {names.image} does not hold bytes')
    return contents


def _label(values: dict[str, Sequence[Any]], names: FeatureNames) -> int | str:
    label = _single_value(values, names.label)
    if isinstance(label, bytes):
        try:
            return label.decode()
        except UnicodeDecodeError:
            raise _InvalidExample(f'its feature {names.label} is not text') from None
    if not isinstance(label, int):
        raise _InvalidExample(f'its feature {names.label} is neither an integer nor a name')
    return label


def _single_value(values: dict[str, Sequence[Any]], name: str) -> Any:
    """Raises _InvalidExample if the feature has no value or several."""
    if not values.get(name):
        raise _InvalidExample(f'its record has no feature {name}')
    if len(values[name]) > 1:
        raise _InvalidExample(f'its feature {name} has {len(values[name])} values')
    return values[name][0]


def _first_label(path: Path, parts: Sequence[RecordPart], names: FeatureNames) -> int | str:
    """The label of the first valid example.

    Raises:
        DataError: no example is valid; the message lists the features.
    """
    found: dict[str, str] = {}
    reason = ''
    for record in _all_records(parts):
        try:
            values = _values(record)
            found |= {name: type(each[0]).__name__ for name, each in values.items() if each}
            _image(values, names)
            return _label(values, names)
        except _InvalidExample as error:
            reason = str(error)
    listed = ', '.join(f'{name} ({kind})' for name, kind in sorted(found.items()))
    raise DataError(
        f'{path} has no example that matches data.features: of the last one, {reason}; '
        f'its features are: {listed or "none"}'
    )


def _label_names(parts: Sequence[RecordPart], names: FeatureNames) -> set[str]:
    """The class names among the labels."""
    found = set()
    for record in _all_records(parts):
        with contextlib.suppress(_InvalidExample):
            found.add(_label(_values(record), names))
    return {class_name(name) for name in found if isinstance(name, str)}


def _all_records(parts: Sequence[RecordPart]) -> Iterator[bytes | BadRecord]:
    for part in parts:
        yield from read_records(part.file, part.records)
