"""Source whose images are files, with class, part, source and group of each."""

import copy
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from common.errors import Rejected
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import Label
from components.image_example_gen.sources.base.listing import (
    File,
    Folder,
    fingerprint_of,
    is_image,
)
from components.image_example_gen.sources.base.parts import Kind, divide
from components.image_example_gen.sources.base.source_protocol import (
    IMAGES_PER_SHARD,
    BadImage,
    LabelledImage,
)

_MASK = re.compile(r'[ _-](mask|seg|segmentation|gt)s?(_\d+)?$', re.IGNORECASE)


class ImageFile(NamedTuple):
    """One image file of a folder."""

    file: File
    label: str  # as it is in the source; empty without one
    kind: Kind | None = None  # the part that it is in
    source: str = ''  # the folder that it shares with others
    group: str | None = None


class FileSource:
    """A source whose images are files; a shard of it is one with some of them.

    Args:
        where: name of the source in messages.
        folder: where the files are.
        rows: the images.
        config: the section `data` of a recipe.
        complete: whether each class must have images; False for one span of several.
        notes: how the layout was understood, and what was left out.
        state: further values of the fingerprint.

    Attributes:
        rows: the images, without those of parts that are left out.
        stamps: their files; empty if the fingerprint is the digest of an archive.

    Raises:
        DataError: there are no images or fewer than two classes, or a class has no images.
    """

    def __init__(
        self,
        where: str,
        folder: Folder,
        rows: Sequence[ImageFile],
        config: DataConfig,
        *,
        complete: bool,
        notes: Sequence[str] = (),
        state: object = None,
    ) -> None:
        existing = [row for row in rows if row.file.stamp]
        seen = Counter[tuple[str, Label]]((row.kind or '', row.label) for row in existing)
        self._labels, self._parts, found = divide(where, seen, config.classes, complete=complete)
        self.rows = [row for row in rows if (row.kind or '') in self._parts]
        existing = [row for row in existing if (row.kind or '') in self._parts]
        self.count, self.counts = len(self.rows), self._labels.counts
        self._folder, self._max_bytes = folder, config.checks.max_bytes
        self._state = state
        self.stamps = [row.file for row in existing]
        self.fingerprint = self.fingerprint_with(self.stamps)
        self.notes = (
            *notes,
            *found,
            *_masks_beside_images(existing),
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
        """Yields the contents of files in order; see `LocalFolder.read`."""
        return self._folder.read(files, self._max_bytes)

    def fingerprint_with(self, files: Sequence[File]) -> str:
        """The fingerprint if the files had these sizes and stamps."""
        return fingerprint_of(files, self._state)

    def shards(self) -> list['FileSource']:
        """Distributes the images round-robin.

        Folders list one class after the other. This way each shard has images of all classes, and
        a shuffle with a bounded buffer mixes them.
        """
        shards = [copy.copy(self) for _ in range(0, self.count, IMAGES_PER_SHARD)]
        for number, shard in enumerate(shards):
            shard.rows, shard.stamps = self.rows[number :: len(shards)], []
        return shards

    def images(self) -> Iterator[LabelledImage | BadImage]:
        """Yields each image once, as a shard does; reads only files that are called like images."""
        contents = self.read([row.file for row in self.rows if not self._problem(row)])
        for row in self.rows:
            if problem := self._problem(row):
                yield problem
            elif isinstance(found := next(contents), Rejected):
                yield BadImage(row.file.name, found.reason, found.detail)
            else:
                others = self._parts.get(row.kind or ''), row.source, row.group
                yield self._labels.to_image(found, row.label, row.file.name, *others)
                del found  # before the next one is read

    def _problem(self, row: ImageFile) -> BadImage | None:
        if not is_image(row.file.name):
            detail = 'its name does not end like that of an image, such as .jpg'
            return BadImage(row.file.name, 'not an image', detail)
        if self._labels.index(row.label) is None:
            return self._labels.rejected(row.file.name, row.label)
        return None


def _masks_beside_images(files: Sequence[ImageFile]) -> Iterator[str]:
    """Yields a note if PNG files lie beside JPEGs of one name, or `1_mask.png` beside `1.png`."""
    stems = Counter(row.file.name.rpartition('.')[0] for row in files)
    masks = [
        stem
        for stem, _, suffix in (row.file.name.rpartition('.') for row in files)
        if (suffix.lower() == 'png' and stems[stem] > 1)
        or ((image := _MASK.sub('', stem)) != stem and image in stems)
    ]
    if len(masks) > 1:
        yield (
            f'{len(masks):,} images, such as {masks[0]}.png, lie beside images of the same name; '
            'if they are masks, move them out of the class folders'
        )
