"""Source for images in Parquet files, in the format of the Hugging Face hub."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from common.errors import DataError, Rejected, TooFewImages
from components.image_example_gen.sources.base.groups import (
    GroupConfig,
    group_of_name,
    group_of_value,
)
from components.image_example_gen.sources.base.image_files import (
    PARQUET_SUFFIXES,
    files_in,
    fingerprint,
)
from components.image_example_gen.sources.base.labels import Labels, make_labels
from components.image_example_gen.sources.base.origins import sources_of_files
from components.image_example_gen.sources.base.reading import (
    MAX_BYTES,
    convert_os_errors,
    require_within,
)
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
    class_name,
    describe_classes,
    is_class_name,
)
from components.image_example_gen.sources.parquet.reader import (
    Row,
    Table,
    read_footer,
    read_label_names,
    read_rows,
)
from components.image_example_gen.sources.parquet.reader_process import call


class ParquetSource:
    """A Parquet file, or all Parquet files in a folder at any depth.

    The column `image` has the bytes of an image, or a struct with `bytes` and `path`; the column
    `labels` or `label` has class numbers or names. By default, the classes are those in the
    metadata of the files, as the library `datasets` writes them, or the sorted names in the label
    column. A shard consists of whole row groups, the smallest part that can be read alone.

    Raises:
        DataError: a file is missing, is not Parquet or lacks a column, files have different
            classes, or there are no images or fewer than two classes.
    """

    def __init__(
        self,
        path: Path,
        classes: tuple[str, ...] | None = None,
        group_by: GroupConfig | None = None,
        *,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if not path.exists():
            raise DataError(f'{path} does not exist; give a Parquet file or a folder of such files')
        root = path if path.is_dir() else path.parent
        with convert_os_errors():
            files = [path] if path.is_file() else sorted(files_in(path, PARQUET_SUFFIXES))
            self.fingerprint = fingerprint(files, root)
        if not files:
            raise TooFewImages(
                f'data folder {path} has no Parquet files; expected {path}/*.parquet'
            )
        self._group_by, self._max_bytes = group_by, max_bytes
        column = group_by.column if group_by else None
        self._tables = [
            table
            for file in map(Path.absolute, files)
            for table in call(
                file, read_footer, file, str(file.relative_to(root.absolute())), column
            )
        ]
        self.count = sum(sum(table.groups) for table in self._tables)
        if not self.count:
            raise TooFewImages(f'{path} has no images: it has no rows')
        own = _classes_in_metadata(self._tables)
        if own is None and classes is None:
            own = _classes_in_labels(self._tables)
        self._labels = make_labels(path, own, classes)
        self.classes = self._labels.classes

    def shards(self) -> list['ParquetShard']:
        sources = sources_of_files((table.name, sum(table.groups)) for table in self._tables)
        return [
            ParquetShard(
                table,
                sources[table.name],
                groups,
                first,
                self._labels,
                self._group_by,
                self._max_bytes,
            )
            for table in self._tables
            for groups, first in _parts(table.groups)
        ]


@dataclasses.dataclass(frozen=True)
class ParquetShard:
    """Some row groups of a file."""

    table: Table
    source: str
    groups: tuple[int, ...]  # numbers of the row groups
    first: int  # number of their first row in the file
    labels: Labels
    group_by: GroupConfig | None
    max_bytes: int

    def images(self) -> Iterator[LabelledImage | BadImage]:
        column = self.group_by.column if self.group_by else None
        rows = call(
            self.table.file, read_rows, self.table, self.groups, column, max_bytes=self.max_bytes
        )
        for number, row in enumerate(rows, self.first):
            try:
                yield self._to_image(f'{self.table.name}:{number}', row)
            except Rejected as error:
                yield BadImage(f'{self.table.name}:{number}', error.reason, error.detail)

    def _to_image(self, place: str, row: Row) -> LabelledImage | BadImage:
        """Raises Rejected if the row has no bytes, too many, or a label that is not text."""
        require_within(self.max_bytes, row.length)
        path = (row.path or b'').decode(errors='surrogateescape')
        if row.image is None:
            only = f', only the path {path}' if path else ''
            raise Rejected('unreadable', f'the row has no bytes of an image{only}')
        try:
            label = row.label.decode() if isinstance(row.label, bytes) else row.label
        except UnicodeDecodeError:
            raise Rejected('unreadable', f'its {self.table.label} is not text') from None
        group = group_of_name(self.group_by, path)
        if self.group_by and self.group_by.column:
            value = row.group
            group = group_of_value(
                value.decode(errors='surrogateescape') if isinstance(value, bytes) else value
            )
        filename = f'{place} ({path})' if path else place
        return self.labels.to_image(row.image, label, filename, self.source, group)


def _classes_in_metadata(tables: Sequence[Table]) -> tuple[str, ...] | None:
    """Raises DataError if files have different classes: a label number had several meanings."""
    named = {tuple(map(class_name, each.classes)): each.file for each in tables if each.classes}
    if len(named) > 1:
        (first, file), (second, other), *_ = named.items()
        raise DataError(
            f'{file} has {describe_classes(first)} but {other} has {describe_classes(second)}; '
            'give files with the same classes in the same order'
        )
    return next(iter(named), None)


def _classes_in_labels(tables: Sequence[Table]) -> tuple[str, ...] | None:
    """The sorted names in the label columns; None if labels are numbers."""
    if not all(table.has_names for table in tables):
        return None
    names = {
        class_name(name.decode())
        for table in tables
        for name in call(table.file, read_label_names, table)
        if _is_class_name(name)  # rows with other names are quarantined
    }
    return tuple(sorted(names))


def _is_class_name(name: bytes) -> bool:
    try:
        return is_class_name(name.decode())
    except UnicodeDecodeError:
        return False


def _parts(groups: Sequence[int]) -> Iterator[tuple[tuple[int, ...], int]]:
    """Groups row groups to about IMAGES_PER_SHARD rows; yields them with their first row."""
    part: list[int] = []
    first = rows = 0
    for number, size in enumerate(groups):
        if part and rows + size > IMAGES_PER_SHARD:
            yield tuple(part), first
            part, first, rows = [], first + rows, 0
        part.append(number)
        rows += size
    if rows:
        yield tuple(part), first
