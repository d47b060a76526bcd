"""Downloads an archive into the cache folder, once; later runs check whether it has changed."""

import hashlib
import json
import logging
import math
import os
import time
import urllib.parse
from pathlib import Path

import filelock

from common.errors import DataError, DownloadError
from common.files import sha256_of
from common.redaction import redacted
from components.image_example_gen.sources.archive.transfer import download
from components.image_example_gen.sources.base.reading import convert_os_errors

_CHECK_AGAIN = 300  # seconds; a run opens its data several times

_log = logging.getLogger(__name__)

_checked: dict[Path, float] = {}  # when this process has checked a copy


def cache_folder() -> Path:
    """`$CATDOG_CACHE`, else `catdog-pipeline` in `$XDG_CACHE_HOME` or `~/.cache`."""
    folder = os.environ.get('CATDOG_CACHE')
    if folder:
        return Path(folder).absolute()
    try:
        caches = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    except RuntimeError as error:
        raise DataError('there is no home folder; set CATDOG_CACHE to a cache folder') from error
    return Path(caches, 'catdog-pipeline').absolute()


def cache_name(key: str, name: str) -> str:
    """A name in the cache folder, also with a suffix: a hash of the key, and the end of a
    human-readable name.
    """
    digest = hashlib.sha256(os.fsencode(key)).hexdigest()
    end = os.fsencode(name.replace('\0', ''))[-60:].decode(
        errors='ignore'
    )  # a name has at most 255 bytes
    return f'{digest[:16]}-{end or "archive"}'


def fetch(url: str, sha256: str | None = None) -> Path:
    """Downloads a file unless an unchanged copy is in the cache folder; returns the copy.

    A change is detected by the ETag or Last-Modified. A copy with the digest `sha256` (hexadecimal)
    is not checked. If the download fails, an existing copy is used and a warning is logged.

    Raises:
        DataError: there is no copy and the download fails, the file has another digest, or the
            copy cannot be written.
    """
    name = Path(urllib.parse.unquote(urllib.parse.urlsplit(url).path)).name
    copy = cache_folder() / cache_name(url, name)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f'{copy}.lock'):
            if sha256 and copy.exists() and sha256_of(copy) == sha256:
                return copy
            if time.monotonic() - _checked.get(copy, -math.inf) > _CHECK_AGAIN:
                _update(url, copy, verified=sha256 is not None)
                _checked[copy] = time.monotonic()
    except OSError as error:
        raise DataError(
            f'{redacted(url)} cannot be kept in {copy.parent}: {error.strerror or error}; '
            'CATDOG_CACHE names another folder'
        ) from error
    if sha256:
        require_sha256(copy, sha256, redacted(url))
    return copy


def require_sha256(path: Path, sha256: str, name: str | None = None) -> None:
    """Raises DataError if a file, called `name` in the message, has another digest."""
    with convert_os_errors():
        found = sha256_of(path)
    if found != sha256:
        raise DataError(f'{name or path} has the sha256 {found}; expected {sha256} (data.sha256)')


def _update(url: str, copy: Path, *, verified: bool) -> None:
    """Replaces the copy atomically if the server has another version."""
    partial, metadata = copy.with_name(f'{copy.name}.partial'), copy.with_name(f'{copy.name}.json')
    partial.unlink(missing_ok=True)  # of a process that was killed
    try:
        described = json.loads(metadata.read_text())
        known = described['validators'] if described['size'] == copy.stat().st_size else {}
    except (OSError, ValueError, KeyError):
        known = {}
    try:
        validators = download(url, partial, known, verified=verified)
        if validators is not None:
            _require_no_web_page(partial)
            metadata.unlink(missing_ok=True)  # it describes the earlier copy
            partial.replace(copy)
            described = {
                'url': redacted(url),
                'size': copy.stat().st_size,
                'validators': validators,
            }
            metadata.write_text(json.dumps(described))
    except DownloadError as error:
        if not copy.exists():
            raise DataError(f'{redacted(url)} cannot be fetched: {error}') from error
        date = time.strftime('%Y-%m-%d', time.localtime(copy.stat().st_mtime))
        _log.warning(
            '%s cannot be fetched (%s); the copy of %s is used', redacted(url), error, date
        )
    finally:
        partial.unlink(missing_ok=True)


def _require_no_web_page(path: Path) -> None:
    with path.open('rb') as file:
        head = file.read(512).lstrip().lower()
    if head.startswith((b'<!doctype html', b'<html')):
        raise DownloadError('it is a web page, not an archive; give the address of the file itself')
