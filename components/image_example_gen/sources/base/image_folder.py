"""Where the images of a folder source are: on a disk, or in a bucket of object storage.

Does not import TensorFlow.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from common.errors import DataError, Rejected
from common.files import MEGABYTE
from common.object_storage import open_bucket
from components.image_example_gen.sources.base.image_files import (
    fingerprint,
    is_ignored,
    is_image,
    walk,
)
from components.image_example_gen.sources.base.reading import (
    READ_ERRORS,
    convert_os_errors,
    error_text,
    read_file,
    require_within,
)

PathParts = tuple[str, ...]  # relative path: names of the folders, then of the file
# Objects that are read at a time: as many, or as many bytes.
_BATCH, _BATCH_BYTES = 32, 32 * MEGABYTE


class ImageListing(NamedTuple):
    """The files of a folder, at any depth, without hidden ones."""

    images: list[PathParts]  # sorted
    sizes: list[int]  # bytes of each image; 0 if they are not known before it is read
    folders: list[PathParts]
    ignored: int  # number of files without the suffix of an image
    fingerprint: str  # changes when an image changes


class ImageFolder(Protocol):
    """A folder of images that workers read; can be pickled."""

    def list_images(self) -> ImageListing:
        """Raises DataError if the folder cannot be read."""
        ...

    def read_images(
        self, images: Sequence[tuple[str, int]], max_bytes: int
    ) -> Iterator[bytes | Rejected]:
        """Yields the contents of images, given by name and listed size, in order.

        An unreadable image, or one with more than `max_bytes`, is yielded as Rejected. Raises
        DataError if the folder cannot be read any more.
        """
        ...


class LocalFolder(NamedTuple):
    """A folder on a disk that all workers see."""

    path: Path

    def list_images(self) -> ImageListing:
        images: list[PathParts] = []
        folders: list[PathParts] = []
        ignored = 0
        with convert_os_errors():
            for parent, subfolders, names in walk(self.path):
                here = parent.relative_to(self.path).parts
                folders.extend((*here, name) for name in subfolders)
                for name in names:
                    file = parent / name
                    # A broken link is an unreadable image; a pipe or a device is ignored.
                    if is_image(name) and (file.is_file() or not file.exists()):
                        images.append((*here, name))
                    else:
                        ignored += 1
            images.sort()
            digest = fingerprint((self.path.joinpath(*each) for each in images), self.path)
        return ImageListing(images, [0] * len(images), folders, ignored, digest)

    def read_images(
        self, images: Sequence[tuple[str, int]], max_bytes: int
    ) -> Iterator[bytes | Rejected]:
        for name, _ in images:
            try:
                yield read_file(self.path / name, max_bytes)
            except Rejected as error:
                yield error
            except READ_ERRORS as error:
                if not self.path.is_dir():
                    raise DataError(
                        f'{self.path} is gone: it was removed or replaced during the run, or is '
                        'not on a disk that every worker sees; start again'
                    ) from error
                yield Rejected('unreadable', f'it cannot be read: {error_text(error)}')


class BucketFolder(NamedTuple):
    """The objects below a prefix, `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`.

    The fingerprint is that of names, sizes and ETags.
    """

    url: str

    def list_images(self) -> ImageListing:
        found: list[tuple[PathParts, int, str]] = []
        folders: list[PathParts] = []
        ignored = 0
        with open_bucket(self.url) as (storage, root):
            # One folder at a time, as the listing of an object takes a kilobyte of memory.
            for parent, subfolders, files in storage.walk(root, detail=True, on_error='raise'):
                if '' in files and files['']['name'] == root:
                    raise DataError(
                        f'{self.url} is an object; only folders of images are read from object '
                        'storage: copy it to a disk'
                    )
                here = tuple(parent[len(root) :].split('/')[1:])
                for name in filter(is_ignored, [*subfolders]):
                    del subfolders[name]  # not walked
                folders.extend((*here, name) for name in subfolders)
                for name, info in files.items():
                    if info['type'] == 'file' and is_image(name) and not is_ignored(name):
                        tag = info.get('ETag') or info['etag']
                        found.append(((*here, name), int(info['size']), tag))
                    else:
                        ignored += info['type'] == 'file' and name != '' and not is_ignored(name)
        found.sort()
        digest = hashlib.sha256()
        for path, size, tag in found:
            line = f'{"/".join(path)}\0{size}\0{tag}\n'
            digest.update(line.encode(errors='surrogateescape'))
        images, sizes = [path for path, _, _ in found], [size for _, size, _ in found]
        return ImageListing(images, sizes, folders, ignored, digest.hexdigest())

    def read_images(
        self, images: Sequence[tuple[str, int]], max_bytes: int
    ) -> Iterator[bytes | Rejected]:
        """Reads several objects at a time, as each takes tens of milliseconds."""
        for batch in _batches(images, max_bytes):
            wanted = [name for name, size in batch if size <= max_bytes]
            with open_bucket(self.url) as (storage, root):
                paths = [f'{root}/{name}' for name in wanted]
                contents = iter(storage.cat_ranges(paths, None, None, on_error='return'))
                for _, size in batch:
                    yield _too_large(size, max_bytes) or _contents(next(contents))


def subfolders_of_bucket(url: str) -> list[str]:
    """The URLs of the folders directly below a prefix, sorted; none if it does not exist."""
    with open_bucket(url) as (storage, root):
        try:
            listed = storage.ls(root, detail=True)
        except FileNotFoundError:
            return []
    names = (each['name'].rstrip('/') for each in listed if each['type'] == 'directory')
    return sorted(f'{url}/{name.rpartition("/")[2]}' for name in names if name != root)


def _batches(images: Sequence[tuple[str, int]], max_bytes: int) -> Iterator[list[tuple[str, int]]]:
    batch: list[tuple[str, int]] = []
    total = 0
    for name, size in images:
        batch.append((name, size))
        total += size if size <= max_bytes else 0
        if len(batch) == _BATCH or total > _BATCH_BYTES:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def _too_large(size: int, max_bytes: int) -> Rejected | None:
    try:
        require_within(max_bytes, size)
    except Rejected as error:
        return error
    return None


def _contents(result: bytes | Exception) -> bytes | Rejected:
    """The contents of an object; Rejected if it was removed since it was listed."""
    if isinstance(result, FileNotFoundError):
        return Rejected('unreadable', 'it cannot be read: it was removed during the run')
    if isinstance(result, Exception):
        raise result
    return result
