"""Images in a zip or tar archive of class folders."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import components
from common.errors import DataError
from common.files import MEGABYTE
from components.image_example_gen.sources.archive import extraction
from components.image_example_gen.sources.archive.extraction import (
    CONTENTS,
    IMAGES,
    extraction_folder,
)
from components.image_example_gen.sources.base.members import MAX_BYTES
from components.image_example_gen.sources.base.source_protocol import BadImage, LabelledImage, Shard
from components.image_example_gen.sources.folder import FolderShard, FolderSource

_SECONDS = 3600  # an extraction may take these, and one more for each megabyte of the archive


class ArchiveSource:
    """An archive that holds what FolderSource reads, maybe in one more folder around it all.

    Its images are extracted into the cache folder, unless an earlier run has done so and the
    archive has not changed. Links, devices and sparse files are ignored. The fingerprint is made
    of the names, sizes and checksums (zip) or times (tar) of the images: a copy of the archive has
    the same.

    Args:
        path: the file.
        classes: names in the order of the labels; None: those of the folders.
        max_bytes: of an image; a longer one is bad, and is not read.

    Attributes:
        ignored: number of members that were left out because they are no files, or their names
            are not those of images.

    Raises:
        DataError: the file is missing, of another format, encrypted, damaged or too large, a name
            in it leads out of it, the cache folder cannot be written, or FolderSource would refuse
            what it holds.
    """

    def __init__(
        self, path: Path, classes: tuple[str, ...] | None = None, *, max_bytes: int = MAX_BYTES
    ) -> None:
        folder = _extracted(path)
        contents = _read_contents(path, folder)
        images = folder / IMAGES
        self._folder = FolderSource(images, classes, max_bytes=max_bytes, archive=path)
        if self._folder.count != contents['images']:
            raise DataError(f'{folder} has lost images of archive {path}; remove it, start again')
        self._archive = path
        self._unreadable = tuple(
            BadImage(name, 'unreadable', f'it cannot be read: {reason}')
            for name, reason in contents['unreadable']
        )
        self.classes = self._folder.classes
        self.count = self._folder.count + len(self._unreadable)
        self.ignored: int = contents['ignored']
        self.fingerprint: str = contents['fingerprint']

    def shards(self) -> Sequence[Shard]:
        shards: list[Shard] = [
            ArchiveShard(each.path, each.members, each.max_bytes, self._archive)
            for each in self._folder.shards()
        ]
        return [*shards, UnreadableShard(self._unreadable)] if self._unreadable else shards


@dataclasses.dataclass(frozen=True)
class ArchiveShard(FolderShard):
    """Some images of an extracted archive."""

    archive: Path

    def images(self) -> Iterator[LabelledImage | BadImage]:
        """Raises DataError if the extracted archive is removed meanwhile."""
        for image in super().images():
            if isinstance(image, BadImage) and not self.path.is_dir():
                raise DataError(
                    f'{self.path}, extracted from archive {self.archive}, is gone: the archive '
                    'changed while it was read, or CATDOG_CACHE is not on a disk that every '
                    'worker sees; start again'
                )
            yield image


@dataclasses.dataclass(frozen=True)
class UnreadableShard:
    """The images of an archive that could not be extracted."""

    bad: tuple[BadImage, ...]

    def images(self) -> Iterator[BadImage]:
        yield from self.bad


def _extracted(path: Path) -> Path:
    """The folder of the extracted archive."""
    try:
        if not path.is_file():
            raise DataError(f'archive {path} does not exist; give a file (zip, tar, tar.gz, ...)')
        folder = extraction_folder(path)
        if not folder.exists():
            _run_extraction(path, folder)
    except OSError as error:
        raise DataError(f'archive {path} cannot be read: {error.strerror}') from error
    return folder


def _run_extraction(path: Path, folder: Path) -> None:
    """Extracts in a subprocess, which has a memory limit, within limited time."""
    command = [sys.executable, '-m', extraction.__name__, str(path.absolute()), str(folder)]
    root = Path(components.__path__[0]).parent  # `-m` finds the packages there
    seconds = _SECONDS + path.stat().st_size // MEGABYTE
    try:
        done = subprocess.run(command, cwd=root, timeout=seconds, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        raise DataError(f'archive {path} takes longer than {seconds} s to extract') from None
    if done.returncode == 1 and done.stdout:
        raise DataError(json.loads(done.stdout))
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ['no message'])[-1]
        raise DataError(f'archive {path} cannot be extracted (exit {done.returncode}): {last}')


def _read_contents(path: Path, folder: Path) -> Any:
    try:
        return json.loads((folder / CONTENTS).read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            f'{folder}, extracted from archive {path}, cannot be read: {error}; remove it'
        ) from error
