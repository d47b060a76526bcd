"""Images in TFRecords of `tf.Example`s that somebody else wrote."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import DataError
from components.image_example_gen.sources.base import origins
from components.image_example_gen.sources.base.config import FeatureNames
from components.image_example_gen.sources.base.image_files import RECORDS, fingerprint
from components.image_example_gen.sources.base.labels import Labels, make_labels
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
    """A TFRecord file, or all of those in a folder: `*.tfrecord`, `*-00000-of-00010`, `*.gz`.

    What the features of an example are called is said by the recipe. A label is a whole number, or
    the name of a class. Files are divided by the heads of their records; a compressed one is read
    once for that, and is one shard.

    Args:
        path: the file, or the folder that is searched at any depth.
        names: of the features.
        classes: names in the order of the labels; None: the sorted names that stand for labels,
            for which all records are read once more.

    Raises:
        DataError: a file is missing or holds no records, the features are called otherwise, or
            there are no images or not two classes.
    """

    def __init__(
        self, path: Path, names: FeatureNames, classes: tuple[str, ...] | None = None
    ) -> None:
        root = path if path.is_dir() else path.parent
        try:
            files = _find(path)
            self.fingerprint = fingerprint(files, root)
        except OSError as error:
            raise DataError(f'{error.filename} cannot be read: {error.strerror}') from error
        self._parts = [
            RecordPart(file, str(file.relative_to(root)), records)
            for file in files
            for records in record_ranges(file, IMAGES_PER_SHARD)
        ]
        self.count = sum(part.records.count for part in self._parts)
        if not self.count:
            raise DataError(f'{path} holds no images: there is no record in it')
        first = _first_label(path, self._parts, names)
        own = None
        if classes is None and isinstance(first, str):
            own = tuple(sorted(_names_in(self._parts, names)))
        self._names, self._labels = names, make_labels(path, own, classes)
        self.classes = self._labels.classes

    def shards(self) -> list['ExampleShard']:
        sources = origins.of_files((part.name, part.records.count) for part in self._parts)
        parts = [part._replace(source=sources[part.name]) for part in self._parts]
        return [ExampleShard(part, self._names, self._labels) for part in parts]


class RecordPart(NamedTuple):
    """Some records of a file.

    Attributes:
        file: the file.
        name: what it is called in the names of images.
        records: which of its records.
        source: of its images.
    """

    file: Path
    name: str
    records: RecordRange
    source: str = ''


@dataclasses.dataclass(frozen=True)
class ExampleShard:
    """`tf.Example`s in some records of a file.

    Attributes:
        part: which.
        names: of the features.
        labels: of the source.
    """

    part: RecordPart
    names: FeatureNames
    labels: Labels

    def images(self) -> Iterator[LabelledImage | BadImage]:
        given = read_records(self.part.file, self.part.records)
        for number, record in enumerate(given, self.part.records.first):
            image = _given(record, f'{self.part.name}:{number}', self.names, self.labels)
            yield origins.named(image, self.part.source)


def _find(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f'{path} does not exist; give a TFRecord file or a folder that holds some')
    files = [
        file
        for file in sorted(path.rglob('*'))
        if RECORDS.fullmatch(file.name) and file.is_file() and not _hidden(file.relative_to(path))
    ]
    if not files:
        raise DataError(
            f'data folder {path} holds no TFRecord files; expected names such as '
            'a.tfrecord, a.tfrecord.gz or a-00000-of-00010'
        )
    return files


def _hidden(file: Path) -> bool:
    return any(part.startswith('.') for part in file.parts)


class _Unfit(ValueError):
    """A record cannot be used; the message is a clause that says why."""


def _values(record: bytes | BadRecord) -> dict[str, Sequence[Any]]:
    """The features of an example, each with its bytes, whole numbers or floats.

    Raises:
        _Unfit: it is no `tf.Example`.
    """
    import tensorflow as tf  # slow, and only records need it
    from google.protobuf.message import DecodeError

    if isinstance(record, BadRecord):
        raise _Unfit(record.detail)
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError:
        raise _Unfit('its record is no tf.Example') from None
    return {
        name: getattr(feature, feature.WhichOneof('kind')).value
        for name, feature in features.items()
        if feature.WhichOneof('kind')
    }


def _image(values: dict[str, Sequence[Any]], names: FeatureNames) -> bytes:
    contents = _only(values, names.image)
    if not isinstance(contents, bytes):
        raise _Unfit(f'its feature {names.image} does not hold bytes')
    return contents


def _label(values: dict[str, Sequence[Any]], names: FeatureNames) -> int | str:
    label = _only(values, names.label)
    if isinstance(label, bytes):
        try:
            return label.decode()
        except UnicodeDecodeError:
            raise _Unfit(f'its feature {names.label} is not text') from None
    if not isinstance(label, int):
        raise _Unfit(f'its feature {names.label} is neither a whole number nor a name')
    return label


def _filename(values: dict[str, Sequence[Any]], names: FeatureNames, place: str) -> str:
    known = values.get(names.filename, ()) if names.filename else ()
    if not known or not isinstance(known[0], bytes):
        return place
    return f'{place} ({known[0].decode(errors="surrogateescape")})'


def _only(values: dict[str, Sequence[Any]], name: str) -> Any:
    """The one value of a feature.

    Raises:
        _Unfit: there is none, or there are several.
    """
    if not values.get(name):
        raise _Unfit(f'its record has no feature {name}')
    if len(values[name]) > 1:
        raise _Unfit(f'its feature {name} has {len(values[name])} values')
    return values[name][0]


def _given(
    record: bytes | BadRecord, place: str, names: FeatureNames, labels: Labels
) -> LabelledImage | BadImage:
    if isinstance(record, BadRecord):
        return BadImage(place, *record)
    contents = record
    try:
        values = _values(record)
        contents = _image(values, names)
        label = _label(values, names)
    except _Unfit as error:
        return BadImage(place, 'unreadable', str(error), contents)
    filename = _filename(values, names, place)
    index = labels.index(label)
    if index is None:
        return BadImage(filename, 'label outside the list', labels.outside(label), contents)
    return LabelledImage(contents, index, filename)


def _first_label(path: Path, parts: Sequence[RecordPart], names: FeatureNames) -> int | str:
    """The label of the first image that has one: a number or a name.

    Raises:
        DataError: in no record there is a usable one, naming the features that there are.
    """
    seen: dict[str, str] = {}
    reason = ''
    for record in _all(parts):
        try:
            values = _values(record)
            seen |= {name: type(those[0]).__name__ for name, those in values.items() if those}
            _image(values, names)
            return _label(values, names)
        except _Unfit as error:
            reason = str(error)
    listed = ', '.join(f'{name} ({kind})' for name, kind in sorted(seen.items()))
    raise DataError(
        f'{path} has no image that can be read with data.features, for of the last one {reason}; '
        f'the features there are: {listed or "none"}'
    )


def _names_in(parts: Sequence[RecordPart], names: FeatureNames) -> set[str]:
    """The names that stand for labels."""
    found = set()
    for record in _all(parts):
        with contextlib.suppress(_Unfit):
            found.add(_label(_values(record), names))
    return {class_name(name) for name in found if isinstance(name, str)}


def _all(parts: Sequence[RecordPart]) -> Iterator[bytes | BadRecord]:
    for part in parts:
        yield from read_records(part.file, part.records)
