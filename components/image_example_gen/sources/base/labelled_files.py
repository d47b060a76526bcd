"""Base of sources whose images are files, with class, part, source and group of each."""

import copy
import dataclasses
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from common.errors import Rejected
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import (
    NO_LABELS,
    Label,
    Labels,
    folded,
    make_labels,
)
from components.image_example_gen.sources.base.listing import File, Folder, fingerprint_of
from components.image_example_gen.sources.base.parts import Kind, parts_of
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
    Part,
)

_MASK = re.compile(r'[ _-](mask|seg|segmentation|gt)s?(_\d+)?$', re.IGNORECASE)


class ImageFile(NamedTuple):
    """One image file of a folder."""

    file: File
    label: str  # as it is in the source; empty without one
    kind: Kind | None = None  # the part that it is in
    source: str = ''  # the folder that it shares with others
    group: str | None = None


@dataclasses.dataclass(frozen=True)
class FileShard:
    """Some images of a folder."""

    folder: Folder
    rows: tuple[ImageFile | BadImage, ...]
    labels: Labels
    parts: Mapping[str, Part]
    max_bytes: int

    def images(self) -> Iterator[LabelledImage | BadImage]:
        wanted = [
            row.file
            for row in self.rows
            if isinstance(row, ImageFile) and self.labels.index(row.label) is not None
        ]
        contents = self.folder.read(wanted, self.max_bytes)
        for row in self.rows:
            if isinstance(row, BadImage):
                yield row
            elif self.labels.index(row.label) is None:
                yield self.labels.rejected(row.file.name, row.label)
            elif isinstance(found := next(contents), Rejected):
                yield BadImage(row.file.name, found.reason, found.detail)
            else:
                part = self.parts.get(row.kind or '')
                name, label = row.file.name, row.label
                yield self.labels.to_image(found, label, name, part, row.source, row.group)
                del found  # before the next one is read


class FileSource:
    """Base of sources whose images are files.

    Args:
        where: name of the source in messages.
        folder: where the files are.
        rows: the images.
        config: the section `data` of a recipe.
        complete: whether each class must have images; False for one span of several.
        notes: how the layout was understood, and what was left out.
        state: further values of the fingerprint.
        digest: the fingerprint, if it is not one of the files.

    Attributes:
        counts: number of images of each class.
        stamps: the files of the images, each with size, and time of modification or ETag; empty if
            the fingerprint is the digest of an archive.

    Raises:
        DataError: there are no images or fewer than two classes, or a class has no images.
    """

    def __init__(
        self,
        where: str,
        folder: Folder,
        rows: Sequence[ImageFile | BadImage],
        config: DataConfig,
        *,
        complete: bool,
        notes: Sequence[str] = (),
        state: object = None,
        digest: str | None = None,
    ) -> None:
        rows, unlabelled = _without_unlabelled_parts(rows)
        self._files = [row for row in rows if isinstance(row, ImageFile)]
        seen: Counter[Label] = Counter(row.label for row in self._files)
        self._labels = make_labels(where, seen, config.classes, complete=complete)
        self._parts = parts_of(where, {row.kind for row in self._files if row.kind})
        self._rows, self._folder, self._max_bytes = rows, folder, config.checks.max_bytes
        self.count, self.counts = len(rows), self._labels.counts
        self.stamps = [] if digest else [row.file for row in self._files]
        self._state = state
        self.fingerprint = digest or self.fingerprint_with(self.stamps)
        self.notes = (
            *notes,
            *unlabelled,
            *self._labels.notes,
            *_missing_in_parts(self._files, self._labels),
            *_masks_beside_images(self._files),
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the labels."""
        return self._labels.classes

    def with_classes(
        self, classes: Sequence[str], new: Mapping[str, str] | None = None
    ) -> 'FileSource':
        """A copy with other classes, in the order of the labels, and new names of some."""
        other = copy.copy(self)
        other._labels = self._labels.with_classes(classes, new)
        other.counts = other._labels.counts
        return other

    def read(self, files: Sequence[File]) -> Iterator[bytes | Rejected]:
        """Yields the contents of some of the files in order; see `Folder.read`."""
        return self._folder.read(files, self._max_bytes)

    def fingerprint_with(self, files: Sequence[File]) -> str:
        """The fingerprint if the files had these sizes and stamps."""
        return fingerprint_of(files, self._state)

    def shards(self) -> list[FileShard]:
        """Distributes the images round-robin.

        Folders list one class after the other. This way each shard has images of all classes, and
        a shuffle with a bounded buffer mixes them.
        """
        count = -(-self.count // IMAGES_PER_SHARD)
        others = self._labels, self._parts, self._max_bytes
        return [
            FileShard(self._folder, tuple(self._rows[number::count]), *others)
            for number in range(count)
        ]


def _without_unlabelled_parts(
    rows: Sequence[ImageFile | BadImage],
) -> tuple[Sequence[ImageFile | BadImage], list[str]]:
    """Leaves out the parts in which no image has a label of train, as in Kaggle's `test`."""
    labels = defaultdict[Kind | None, Counter[str]](Counter)
    for row in rows:
        if isinstance(row, ImageFile):
            labels[row.kind][row.label] += 1
    known = {folded(label) for label in labels['train'] if label not in NO_LABELS}
    dropped = {
        kind: found.total()
        for kind, found in labels.items()
        if kind and known and known.isdisjoint(map(folded, found))
    }
    notes = [f'{kind}: {n:,} images without labels are left out' for kind, n in dropped.items()]
    kept = [row for row in rows if isinstance(row, BadImage) or row.kind not in dropped]
    return kept if dropped else rows, notes


def _missing_in_parts(files: Sequence[ImageFile], labels: Labels) -> Iterator[str]:
    """Yields a note for each part without images of a class."""
    found = {(row.label, row.kind) for row in files}
    pairs = {(labels.index(label), kind) for label, kind in found}
    for kind in sorted({kind for _, kind in pairs if kind}):
        lacking = [n for i, n in enumerate(labels.classes) if (i, kind) not in pairs]
        if lacking:
            shown = ', '.join(lacking[:5]) + (', ...' if len(lacking) > 5 else '')
            yield f'{kind} has no images of {len(lacking)} of the classes ({shown})'


def _masks_beside_images(files: Sequence[ImageFile]) -> Iterator[str]:
    """Yields a note if PNG files lie beside JPEGs of one name, or `1_mask.png` beside `1.png`."""
    stems = defaultdict[str, set[str]](set)
    for row in files:
        stem, suffix = os.path.splitext(row.file.name)  # noqa: PTH122  much faster
        stems[stem].add(suffix.lower())
    masks = [
        stem
        for stem, suffixes in stems.items()
        if ('.png' in suffixes and len(suffixes) > 1)
        or ((image := _MASK.sub('', stem)) != stem and image in stems)
    ]
    if len(masks) > 1:
        yield (
            f'{len(masks):,} images, such as {masks[0]}.png, lie beside images of the same name; '
            'if they are masks, move them out of the class folders'
        )
