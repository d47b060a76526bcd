"""Images in a zip or tar archive of class folders.

Names in it lead nowhere: nothing is extracted, they tell the class of an image and are shown to
people. Links, devices and sparse files are left out.
"""

import abc
import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from common.errors import DataError
from components.image_example_gen.sources.archive.listing import (
    Format,
    list_archive,
    opened_tar,
    opened_zip,
    tar_entries,
    version,
)
from components.image_example_gen.sources.base.layout import arrange, settle_classes
from components.image_example_gen.sources.base.members import (
    BROKEN,
    MAX_BYTES,
    Member,
    dealt,
    label_of,
    read_within,
    require_within,
    to_image,
    told,
)
from components.image_example_gen.sources.base.source_protocol import BadImage, LabelledImage, Shard


class ArchiveSource:
    """An archive that holds what FolderSource reads, maybe in one more folder around it all.

    Its fingerprint is made of the names, sizes and checksums (zip) or times (tar) of the images,
    which are read anyway: a copy, or the same archive fetched on another machine, has the same.

    Args:
        path: the file.
        classes: names in the order of the labels; None: those of the folders.
        max_bytes: of an image; a longer one is bad, and is not read.

    Attributes:
        ignored: number of entries that were left out because they are no files, or their names
            are not those of images.

    Raises:
        DataError: the file is missing, of another format, encrypted or not whole, a name in it
            leads out of it, or FolderSource would refuse what it holds.
    """

    def __init__(
        self, path: Path, classes: tuple[str, ...] | None = None, *, max_bytes: int = MAX_BYTES
    ) -> None:
        where = f'archive {path}'
        self._path, self._max_bytes = path, max_bytes
        self._listing = list_archive(path)
        layout = arrange(where, self._listing.found, wrapped=True)
        self.classes = settle_classes(where, layout, classes)
        self._kinds = layout.kinds
        self.count = len(layout.kinds)
        self.ignored = self._listing.found.ignored
        digest = hashlib.sha256()
        for place, entry in zip(self._listing.found.images, self._listing.entries, strict=True):
            line = f'{"/".join(place)}\0{entry.size}\0{entry.note}\n'
            digest.update(line.encode(errors='surrogateescape'))
        self.fingerprint = digest.hexdigest()

    def shards(self) -> Sequence[Shard]:
        """Of a compressed tar there is one: it can only be read from its beginning."""
        listing = self._listing
        members = [
            Member(
                '/'.join(place),
                label_of(kind, self.classes),
                kind.part,
                entry.key,
                entry.size,
                kind.source,
            )
            for place, entry, kind in zip(
                listing.found.images, listing.entries, self._kinds, strict=True
            )
        ]
        if listing.format is Format.COMPRESSED_TAR:
            return [CompressedTarShard(self._path, tuple(members), self._max_bytes)]
        shard = ZipShard if listing.format is Format.ZIP else TarShard
        return [shard(self._path, hand, self._max_bytes) for hand in dealt(members)]


@dataclasses.dataclass(frozen=True)
class _ArchiveShard(abc.ABC):
    """Some images of an archive."""

    path: Path
    members: tuple[Member, ...]
    max_bytes: int

    def images(self) -> Iterator[LabelledImage | BadImage]:
        """Raises DataError if the archive is gone, broken or another one since it was listed."""
        try:
            yield from self._images()
        except BROKEN as error:
            raise DataError(f'archive {self.path} cannot be read: {told(error)}') from error

    @abc.abstractmethod
    def _images(self) -> Iterator[LabelledImage | BadImage]: ...


@dataclasses.dataclass(frozen=True)
class ZipShard(_ArchiveShard):
    """Of a zip file; the key of a member is its number in the directory."""

    def _images(self) -> Iterator[LabelledImage | BadImage]:
        archive = opened_zip(self.path, version(self.path))
        entries = archive.infolist()

        def read(member: Member) -> bytes:
            with archive.open(entries[member.key]) as file:
                return read_within(self.max_bytes, member.size, file)

        for member in self.members:
            yield to_image(member, read)


@dataclasses.dataclass(frozen=True)
class TarShard(_ArchiveShard):
    """Of a tar file that is not compressed; the key of a member is where its bytes begin."""

    def _images(self) -> Iterator[LabelledImage | BadImage]:
        with self.path.open('rb') as file:

            def read(member: Member) -> bytes:
                require_within(self.max_bytes, member.size)
                file.seek(member.key)
                contents = file.read(member.size)
                if len(contents) < member.size:
                    raise EOFError('the archive has become shorter')
                return contents

            for member in self.members:
                yield to_image(member, read)


@dataclasses.dataclass(frozen=True)
class CompressedTarShard(_ArchiveShard):
    """All of a compressed tar file; the key of a member is where its bytes begin, unpacked."""

    def _images(self) -> Iterator[LabelledImage | BadImage]:
        wanted = {member.key: member for member in self.members}
        with opened_tar(self.path) as archive:
            for entry in tar_entries(archive):
                member = wanted.get(entry.offset_data)
                if member and '/'.join(PurePosixPath(entry.name).parts) == member.name:
                    del wanted[entry.offset_data]
                    file = archive.extractfile(entry)
                    assert file is not None  # only of links and folders there is none
                    yield to_image(member, partial(self._read, file))
        if wanted:
            raise DataError(f'archive {self.path} changed while it was read; start again')

    def _read(self, file: IO[bytes], member: Member) -> bytes:
        return read_within(self.max_bytes, member.size, file)
