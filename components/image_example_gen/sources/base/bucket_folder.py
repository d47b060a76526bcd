"""Images below a prefix of object storage. Does not import TensorFlow."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from common.errors import DataError, Rejected
from common.files import MEGABYTE
from common.object_storage import open_bucket
from components.image_example_gen.sources.base.listing import (
    File,
    Folder,
    LocalFolder,
    is_ignored,
    is_image,
)
from components.image_example_gen.sources.base.reading import convert_os_errors, require_within

# Objects that are read at a time: as many, or as many bytes.
_BATCH, _BATCH_BYTES = 32, 32 * MEGABYTE


class BucketFolder(NamedTuple):
    """The objects below a prefix, `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`."""

    url: str

    def walk(
        self, accept: Callable[[str], bool] = is_image
    ) -> Iterator[tuple[str, list[str], Iterator[File]]]:
        """One folder at a time, as the listing of an object takes a kilobyte of memory."""
        with open_bucket(self.url) as (storage, root):
            for parent, folders, found in storage.walk(root, detail=True, on_error='raise'):
                if '' in found and found['']['name'] == root:
                    raise DataError(
                        f'{self.url} is an object; only folders of images are read from object '
                        'storage: copy it to a disk'
                    )
                here = parent[len(root) :].strip('/')
                for name in filter(is_ignored, [*folders]):
                    del folders[name]  # not walked
                prefix = f'{here}/' if here else ''
                files = (
                    File(prefix + name, int(info['size']), info.get('ETag') or info['etag'])
                    for name, info in found.items()
                    if info['type'] == 'file' and accept(name) and not is_ignored(name)
                )
                yield here, sorted(folders), files

    def read(self, files: Sequence[File], max_bytes: int) -> Iterator[bytes | Rejected]:
        """Reads several objects at a time, as each takes tens of milliseconds."""
        for batch in _batches(files, max_bytes):
            with open_bucket(self.url) as (storage, root):
                paths = [f'{root}/{file.name}' for file in batch if file.size <= max_bytes]
                contents = iter(storage.cat_ranges(paths, None, None, on_error='return'))
                for file in batch:
                    try:
                        require_within(max_bytes, file.size)
                        yield _contents(next(contents))
                    except Rejected as error:
                        yield error


def open_folder(place: Path | str) -> Folder:
    """The folder of a path, or of a URL."""
    return LocalFolder(place) if isinstance(place, Path) else BucketFolder(place)


def subfolders(place: Path | str) -> list[Path | str]:
    """The folders directly in a folder, sorted; paths or URLs, like `place`."""
    with convert_os_errors():
        _, names, _ = next(open_folder(place).walk())
    return [place / name if isinstance(place, Path) else f'{place}/{name}' for name in names]


def _batches(files: Sequence[File], max_bytes: int) -> Iterator[list[File]]:
    batch: list[File] = []
    total = 0
    for file in files:
        batch.append(file)
        total += file.size if file.size <= max_bytes else 0
        if len(batch) == _BATCH or total > _BATCH_BYTES:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def _contents(result: bytes | Exception) -> bytes:
    """The contents of an object; raises Rejected if it was removed since it was listed."""
    if isinstance(result, FileNotFoundError):
        raise Rejected('unreadable', 'it cannot be read: it was removed during the run')
    if isinstance(result, Exception):
        raise result
    return result
