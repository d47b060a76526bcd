"""Extracts the images and tables of a zip or tar archive into a folder.

Decompressors, and the directory of a zip, take as much memory as the file asks for, so this module
runs in a limited subprocess. It imports little, to start fast.
"""

import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import filelock

from common.errors import DataError
from common.files import open_regular, sha256_of
from components.image_example_gen.sources.base.listing import TABLE_SUFFIXES, is_ignored, is_image

IMAGES, DIGEST = 'images', 'sha256'  # in the folder of an extracted archive
_RATIO = 200  # unpacked size to archive size; more is a decompression bomb
_ALWAYS_ALLOWED = 2**30  # unpacked bytes, whatever the ratio

Problem = tuple[str, str]  # name of a member, and why it cannot be extracted, as a clause


def extract_archive(path: Path, target: Path) -> Iterator[Problem]:
    """Extracts the images atomically, and removes the other versions in the parent folder.

    Yields the members of zip archives that cannot be extracted; they become empty files. If several
    runs extract an archive at once, the first does the work, the others wait.

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
                (partial / IMAGES).mkdir(parents=True)
                yield from _extract(path, partial / IMAGES)
                (partial / DIGEST).write_text(sha256_of(path))
                for earlier in list(target.parent.iterdir()):  # also of a killed extraction
                    if earlier != Path(temporary):  # at once, for runs that still read it
                        earlier.rename(Path(temporary, earlier.name))
                partial.rename(target)


def _extract(path: Path, folder: Path) -> Iterator[Problem]:
    limit = max(_ALWAYS_ALLOWED, _RATIO * path.stat().st_size)
    with open_regular(path) as file:
        is_zip = file.read(4) in (b'PK\3\4', b'PK\5\6')  # with members, without
        file.seek(0)
        if is_zip:
            with zipfile.ZipFile(file) as zip_archive:
                yield from _extract_zip(zip_archive, folder, limit)
        else:
            with tarfile.open(fileobj=file) as tar_archive:
                _extract_tar(tar_archive, folder, limit)


def _extract_tar(archive: tarfile.TarFile, folder: Path, limit: int) -> None:
    unpacked = 0

    def chosen(info: tarfile.TarInfo, place: str) -> tarfile.TarInfo | None:
        nonlocal unpacked
        unpacked += info.size
        _require_within(limit, unpacked)
        is_file = info.isreg() or info.islnk()
        return tarfile.data_filter(info, place) if is_file and _is_used(info.name) else None

    archive.extractall(folder, filter=chosen)
    assert archive.fileobj
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(512) != bytes(512):  # tarfile takes a damaged header for the end
        raise tarfile.ReadError(f'no complete header at {archive.offset}')


def _extract_zip(archive: zipfile.ZipFile, folder: Path, limit: int) -> Iterator[Problem]:
    unpacked = 0
    for info in archive.infolist():
        unpacked += info.file_size
        _require_within(limit, unpacked)
        info.filename = _name_in_zip(info).replace('\\', '/')  # some programs on Windows write it
        if not info.is_dir() and _is_used(info.filename):
            try:
                archive.extract(info, folder)
            except (EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
                (folder / info.filename).write_bytes(b'')
                yield info.filename, str(error)


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
    is_table = place.suffix.lower() in TABLE_SUFFIXES
    return (is_table or is_image(name)) and not any(map(is_ignored, place.parts))


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
