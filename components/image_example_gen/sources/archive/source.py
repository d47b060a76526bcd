"""Source for images in a zip or tar archive, which is extracted into the cache folder."""

import dataclasses
import hashlib
import logging
import os
from pathlib import Path

from common.errors import CallFailed, DataError
from common.mirror import cache_folder
from common.redaction import is_redacted, redacted
from components.image_example_gen.inspection.limited_process import Limits, call
from components.image_example_gen.sources import csv_file, folder
from components.image_example_gen.sources.archive.download import cache_name, fetch
from components.image_example_gen.sources.archive.extraction import (
    DIGEST,
    IMAGES,
    extract_archive,
)
from components.image_example_gen.sources.base.data_config import DATA_URL, DataConfig
from components.image_example_gen.sources.base.listing import convert_os_errors
from components.image_example_gen.sources.base.source import Source
from components.image_example_gen.sources.detect import detect_in_folder
from components.image_example_gen.sources.spans import find_spans

_FORMAT = 4  # of the extracted folder; earlier ones are replaced

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
            _extract(path, extracted)
        if _version_folder(path) != extracted:
            raise DataError(f'archive {path} changed while it was read; start again')
        digest = (extracted / DIGEST).read_text()
    if config.sha256 not in (None, digest):
        place = redacted(config.url) if config.url else path
        raise DataError(f'{place} has the sha256 {digest}; expected {config.sha256} (data.sha256)')
    images = extracted / IMAGES
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


def _extract(path: Path, target: Path) -> None:
    """Extracts in a subprocess with limits of memory and CPU time."""
    try:
        problems = list(call(Limits.for_file(path), extract_archive, path.absolute(), target))
    except (CallFailed, DataError) as error:
        raise DataError(
            f'archive {path} cannot be extracted into {target.parent}: {error}; expected a '
            'complete zip, tar, tar.gz, .bz2 or .xz without a password'
        ) from None
    if problems:
        name, problem = problems[0]
        _log.warning('%s of %s cannot be extracted: %s', name, path, problem)


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
