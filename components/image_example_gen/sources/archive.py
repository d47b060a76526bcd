"""Source for images in a zip or tar archive, which is extracted into the cache folder.

Decompressors, and the directory of a zip, take as much memory as the file asks for, so the archive
is extracted in a limited subprocess.
"""

import dataclasses
import hashlib
import logging
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, cast

import filelock

from common.errors import CallFailed, DataError
from common.files import open_regular, sha256_of
from common.mirror import cache_folder
from common.redaction import is_redacted, redacted
from components.image_example_gen.inspection.limited_process import Limits, call
from components.image_example_gen.sources import csv_file, folder
from components.image_example_gen.sources.base.data_config import DATA_URL, DataConfig
from components.image_example_gen.sources.base.listing import (
    convert_os_errors,
    is_ignored,
    is_image,
    source_of_name,
)
from components.image_example_gen.sources.base.source import Source
from components.image_example_gen.sources.detect import detect_in_folder
from components.image_example_gen.sources.download import cache_name, fetch
from components.image_example_gen.sources.spans import find_spans

_FORMAT = 4  # of the extracted folder; earlier ones are replaced

_IMAGES, _DIGEST = 'images', 'sha256'  # in the folder of an extracted archive
_RATIO = 200  # unpacked size to archive size; more is a decompression bomb
_ALWAYS_ALLOWED = 2**30  # unpacked bytes, whatever the ratio

_log = logging.getLogger(__name__)


def open_source(config: DataConfig) -> Source:
    """Opens the folder, or the table of images, in an archive; it is downloaded before, if needed.

    The archive is extracted once, and again after it has changed. The fingerprint is the SHA-256
    digest of the archive.

    Raises DataError if the file is missing, not an archive, encrypted, damaged or too large; it
    cannot be downloaded; a name leads out of the archive; the cache folder cannot be written; or
    see `folder.open_source`.
    """
    path = fetch(complete_url(config.url), config.sha256) if config.url else config.path
    assert path
    if not path.is_file():
        problem = 'is not a regular file' if path.exists() else 'does not exist'
        raise DataError(f'archive {path} {problem}; give a file (zip, tar, tar.gz, ...)')
    with convert_os_errors():
        extracted = _version_folder(path)
        if not extracted.exists():
            _extract_in_process(path, extracted)
        if _version_folder(path) != extracted:
            raise DataError(f'archive {path} changed while it was read; start again')
        digest = (extracted / _DIGEST).read_text()
    if config.sha256 not in (None, digest):
        place = redacted(config.url) if config.url else path
        raise DataError(f'{place} has the sha256 {digest}; expected {config.sha256} (data.sha256)')
    images = extracted / _IMAGES
    if find_spans(images):
        raise DataError(
            f'archive {path} contains spans, which are only read from folders: extract it'
        )
    inner = config.model_copy(update={'path': images, 'url': None})
    is_table = config.label_pattern is None and detect_in_folder(images).source == 'csv'
    source = (csv_file if is_table else folder).open_source(inner)
    return dataclasses.replace(source, fingerprint=digest, files=())


def _version_folder(path: Path) -> Path:
    """The folder of an extracted archive; changes when the file is written again."""
    status = path.stat()
    version = f'{_FORMAT} {status.st_ino} {status.st_size} {status.st_mtime_ns}'
    digest = hashlib.sha256(version.encode()).hexdigest()
    return cache_folder() / 'extracted' / cache_name(str(path.absolute()), path.name) / digest[:16]


def _extract_in_process(path: Path, target: Path) -> None:
    """Extracts in a subprocess with limits of memory and CPU time."""
    try:
        limits = Limits.for_file(path, 1400)  # a zip takes 0.7 kB for each of its members
        problems = list(call(limits, extract_archive, path.absolute(), target))
    except (CallFailed, DataError) as error:
        raise DataError(
            f'archive {path} cannot be extracted into {target.parent}: {error}; expected a '
            'complete zip, tar, tar.gz, .bz2 or .xz without a password'
        ) from None
    for problem in problems[:1]:
        _log.warning('of %s: %s', path, problem)


def complete_url(url: str) -> str:
    """The URL; if it is redacted, the complete one of the environment variable CATDOG_DATA_URL."""
    if not is_redacted(url):
        return url
    complete = os.environ.get(DATA_URL)
    if complete is None or redacted(complete) != url:
        problem = 'is not set' if complete is None else 'has another address'
        raise DataError(
            f'data.url is {url}, and the environment variable {DATA_URL} {problem}; set it to the '
            'complete URL'
        )
    return complete


def extract_archive(path: Path, target: Path) -> Iterator[str]:
    """Extracts the images atomically, and removes the other versions in the parent folder.

    Yields the members of zip archives that cannot be extracted, and links to what is not extracted;
    they become empty files. If several runs extract an archive at once, the first does the work,
    the others wait.

    Raises:
        DataError: the file is no archive, or unpacks to very many bytes, or a name leads out of it
            or is not UTF-8.
        Exception: the archive is damaged or encrypted, or the target cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f'{target.parent}.lock'):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
                partial = Path(temporary, 'partial')
                (partial / _IMAGES).mkdir(parents=True)
                yield from _extract(path, partial / _IMAGES)
                (partial / _DIGEST).write_text(sha256_of(path))
                for earlier in list(target.parent.iterdir()):  # also of a killed extraction
                    if earlier != Path(temporary):  # at once, for runs that still read it
                        earlier.rename(Path(temporary, earlier.name))
                partial.rename(target)


def _extract(path: Path, folder: Path) -> Iterator[str]:
    limit = max(_ALWAYS_ALLOWED, _RATIO * path.stat().st_size)
    with open_regular(path) as file:
        is_zip = file.read(4) in (b'PK\3\4', b'PK\5\6')  # with members, without
        file.seek(0)
        if is_zip:
            with zipfile.ZipFile(file) as zip_archive:
                yield from _extract_zip(zip_archive, folder, limit)
        else:
            with tarfile.open(fileobj=file) as tar_archive:
                yield from _extract_tar(tar_archive, folder, limit)


def _extract_tar(archive: tarfile.TarFile, folder: Path, limit: int) -> Iterator[str]:
    """Does not use `extractall`, which extracts a symbolic link for a hard link to it.

    Its list of members would take 1 kB of memory for each.
    """
    unpacked = 0
    for info in archive:
        if info.size < 0:  # tarfile would read the same members again and again
            raise tarfile.ReadError('a member has a negative size')
        unpacked += tarfile.BLOCKSIZE + info.size  # with the header, as it may have no bytes
        _require_within(limit, unpacked)
        if (info.isreg() or info.islnk()) and _is_used(info.name):
            place = folder / info.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)  # a later member replaces an earlier one
            if info.isreg():
                with place.open('wb') as target:
                    shutil.copyfileobj(cast(IO[bytes], archive.extractfile(info)), target)
            elif _is_used(info.linkname) and (folder / info.linkname).is_file():
                place.hardlink_to(folder / info.linkname)
            else:
                place.touch()
                yield f'{info.name} is a link to {info.linkname[:80]!r}, which is not extracted'
        archive.members = []  # type: ignore[attr-defined]
    assert archive.fileobj
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(512) != bytes(512):  # tarfile takes a damaged header for the end
        raise tarfile.ReadError(f'no complete header at {archive.offset}')


def _extract_zip(archive: zipfile.ZipFile, folder: Path, limit: int) -> Iterator[str]:
    unpacked = 0
    for info in archive.infolist():
        unpacked += info.file_size
        _require_within(limit, unpacked)
        info.filename = _name_in_zip(info).replace('\\', '/')  # some programs on Windows write it
        if not info.filename.endswith('/') and _is_used(info.filename):
            try:
                archive.extract(info, folder)
            except (EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
                (folder / info.filename).write_bytes(b'')
                yield f'{info.filename} cannot be extracted: {error}'


def _require_within(limit: int, unpacked: int) -> None:
    if unpacked > limit:
        raise DataError(
            f'it unpacks to more than {_RATIO} times its size; it may be a decompression bomb'
        )


def _is_used(name: str) -> bool:
    """Whether a member is extracted; raises DataError if its name leads out of the archive."""
    place = PurePosixPath(name)
    if '..' in place.parts or place.is_absolute():
        raise DataError(f'it contains {name[:80]!r}, a name that leads out of it')
    return (is_image(name) or source_of_name(name) == 'csv') and not any(
        map(is_ignored, place.parts)
    )


def _name_in_zip(info: zipfile.ZipInfo) -> str:
    """MacOS writes UTF-8 without the flag of UTF-8, others the code page of their computer."""
    if info.flag_bits & 0x800:
        return info.filename
    name = info.orig_filename.encode('cp437')
    try:
        return name.decode().partition('\0')[0]
    except UnicodeDecodeError:
        raise DataError(
            f'its name {name[:80]!r} is not UTF-8; extract it where it was packed and give the '
            'folder, or pack it again with names in UTF-8'
        ) from None
