"""A source of labelled images, and the parts of it that workers read."""

import dataclasses
import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from common.errors import Rejected, RejectionReason
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import (
    NO_LABELS,
    Label,
    Labels,
    describe_classes,
)
from components.image_example_gen.sources.base.listing import (
    File,
    Folder,
    fingerprint_of,
    is_image,
)
from components.image_example_gen.sources.base.parts import Part, divide

IMAGES_PER_SHARD = 512  # about
_LONGEST_LABEL = 100  # characters in messages
_MASK = re.compile(r'[ _-](mask|seg|segmentation|gt)s?(_\d+)?$', re.IGNORECASE)


class LabelledImage(NamedTuple):
    """One image of a source: the bytes of an image file, and the index of its class."""

    contents: bytes
    label: int
    filename: str  # origin of the image, for error messages and the record
    part: Part | None = None  # the splits that it may be in; None if the source is not divided
    source: str = ''  # the folder that the image shares with others; empty if unknown
    group: str | None = None  # by `data.group_by`; None without one


class BadImage(NamedTuple):
    """One image that cannot be used."""

    filename: str
    reason: RejectionReason
    detail: str  # the problem in one clause, such as "it ends after 4,096 of its bytes"


@dataclasses.dataclass(frozen=True)
class Shard:
    """A part of a source that one worker reads; can be pickled."""

    config: DataConfig
    _: dataclasses.KW_ONLY
    labels: Labels = dataclasses.field(default_factory=Labels)
    parts: Mapping[str, Part | None] = dataclasses.field(default_factory=dict)  # as of Source

    def images(self) -> Iterator[LabelledImage | BadImage]:
        """Yields each image once, always in the same order; an unreadable one as a BadImage.

        Raises DataError if a file of many images, or the whole source, cannot be read.
        """
        raise NotImplementedError

    def to_image(
        self,
        contents: bytes | Rejected,
        label: Label,
        filename: str,
        part: str = '',
        source: str = '',
        group: str | None = None,
    ) -> LabelledImage | BadImage:
        """Labels an image with its class index; a BadImage if it has none."""
        if isinstance(contents, Rejected):
            return BadImage(filename, contents.reason, contents.detail)
        number = self.labels.index(label)
        if number is not None:
            return LabelledImage(contents, number, filename, self.parts.get(part), source, group)
        if label in NO_LABELS:
            return BadImage(filename, 'label outside the list', 'no label')
        is_known = label in self.labels.names
        given = self.labels.names.get(label, str(label))[:_LONGEST_LABEL]
        detail = f'its label is {given}; expected one of {describe_classes(self.labels.classes)}'
        return BadImage(filename, 'unknown class' if is_known else 'label outside the list', detail)


@dataclasses.dataclass(frozen=True)
class Source:
    """A set of images, whose labels are those of the source until `labelled` gives them classes."""

    where: str  # its name in messages
    parts: Mapping[str, Part | None]  # by the names of those that are used; None: not divided
    seen: Mapping[tuple[str, Label], int]  # images by name of their part and label
    pieces: Sequence[Shard]
    fingerprint: str  # changes when the images change
    # One line each: how the source was understood, what was left out, and warnings about the data
    notes: tuple[str, ...] = ()
    layout: str = ''  # human-readable, such as `a folder per class`
    folder: Folder | None = None  # of `files`
    files: Sequence[File] = ()  # that the fingerprint depends on, and that are one image each
    state: str = ''  # what else it depends on
    labels: Labels = dataclasses.field(default_factory=Labels)

    @property
    def count(self) -> int:
        """Number of images."""
        return sum(self.by_label.values())

    @functools.cached_property
    def by_label(self) -> Counter[Label]:
        """Number of images of each label."""
        found: Counter[Label] = Counter()
        for (part, label), number in self.seen.items():
            if part in self.parts:
                found[label] += number
        return found

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the labels."""
        return self.labels.classes

    @property
    def counts(self) -> Counter[str]:
        """Number of images of each class."""
        return self.labels.count(self.by_label)

    def labelled(self, labels: Labels) -> 'Source':
        """The same images with classes; a note names those of its images that a part lacks."""
        notes = [*self.notes]
        own = {labels.index(label) for label in self.by_label}
        for part in (name for name, part in self.parts.items() if part):
            lacked = own - {labels.index(label) for name, label in self.seen if name == part}
            if lacking := [each for n, each in enumerate(labels.classes) if n in lacked]:
                notes.append(f'{part} has no images of {describe_classes(lacking)}')
        return dataclasses.replace(self, labels=labels, notes=(*notes, *labels.notes))

    def shards(self) -> list[Shard]:
        """Parts of about IMAGES_PER_SHARD; always the same."""
        labels, parts = self.labels, self.parts
        return [dataclasses.replace(each, labels=labels, parts=parts) for each in self.pieces]


def ranges(count: int, most: int | None = None) -> Iterator[range]:
    """Divides the numbers below `count` into ranges of about IMAGES_PER_SHARD, at most `most`."""
    parts = -(-count // IMAGES_PER_SHARD)
    parts = min(parts, most or parts)
    for part in range(parts):
        yield range(count * part // parts, count * (part + 1) // parts)


def every_image(source: Source) -> Iterator[LabelledImage | BadImage]:
    """Yields the images of all shards in order."""
    return itertools.chain.from_iterable(shard.images() for shard in source.shards())


class ImageFile(NamedTuple):
    """One image file of a folder."""

    file: File
    label: str  # as it is in the source; empty without one
    part: str = ''  # name of the part that it is in
    source: str = ''  # the folder that it shares with others
    group: str | None = None


@dataclasses.dataclass(frozen=True)
class FileShard(Shard):
    """Some of the images that are files."""

    folder: Folder
    rows: Sequence[ImageFile]

    def images(self) -> Iterator[LabelledImage | BadImage]:
        """Reads only files that are called like images, of classes that are trained."""
        wanted = [row.file for row in self.rows if self._is_read(row)]
        contents = self.folder.read(wanted, self.config.checks.max_bytes)
        for row in self.rows:
            found: bytes | Rejected = b''
            if self._is_read(row):
                found = next(contents)
            elif not is_image(row.file.name):
                detail = 'its name does not end like that of an image, such as .jpg'
                found = Rejected('not an image', detail)
            others = row.part, row.source, row.group
            yield self.to_image(found, row.label, row.file.name, *others)
            del found  # before the next one is read

    def _is_read(self, row: ImageFile) -> bool:
        return is_image(row.file.name) and self.labels.index(row.label) is not None


def open_files(
    where: str,
    folder: Folder,
    rows: Sequence[ImageFile],
    config: DataConfig,
    *,
    layout: str,
    notes: Sequence[str] = (),
    state: object = None,
) -> Source:
    """Opens a source whose images are files.

    The images are distributed round-robin: folders list one class after the other, and this way
    each shard has images of all classes, and a shuffle with a bounded buffer mixes them.

    Args:
        where: name of the source in messages.
        folder: where the files are.
        rows: the images.
        config: the section `data` of a recipe.
        layout: how the source was understood.
        notes: what is not obvious about it, and what was left out.
        state: what else the fingerprint depends on.

    Raises DataError if no image has a label.
    """
    # The label of a file that is missing names no class.
    seen = Counter[tuple[str, Label]](
        (row.part, row.label if row.file.stamp else None) for row in rows
    )
    parts, left_out = divide(where, seen)
    rows = [row for row in rows if row.part in parts]
    number = len(range(0, len(rows), IMAGES_PER_SHARD))
    files = [row.file for row in rows if row.file.stamp]
    return Source(
        where,
        parts,
        seen,
        [FileShard(config, folder, rows[n::number]) for n in range(number)],
        fingerprint_of(files, state),
        (*notes, *left_out, *_masks_beside_images(files)),
        layout,
        folder,
        files,
        repr(state),
    )


def _masks_beside_images(files: Sequence[File]) -> Iterator[str]:
    """Yields a note if PNG files lie beside JPEGs of one name, or `1_mask.png` beside `1.png`."""
    names = [file.name.rpartition('.') for file in files]
    stems = Counter(stem for stem, _, _ in names)
    masks = [
        stem
        for stem, _, suffix in names
        if (suffix.lower() == 'png' and stems[stem] > 1)
        or ((image := _MASK.sub('', stem)) != stem and image in stems)
    ]
    if len(masks) > 1:
        yield (
            f'{len(masks):,} images, such as {masks[0]}.png, lie beside images of the same name; '
            'if they are masks, move them out of the class folders'
        )
