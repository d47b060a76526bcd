"""Source for images in a zip or tar archive, which is extracted into the cache folder."""

import hashlib
import json
from pathlib import Path

from common.errors import CallFailed, DataError
from common.files import open_regular
from components.image_example_gen.limited_process import Limits, call
from components.image_example_gen.sources.archive import extraction
from components.image_example_gen.sources.archive.download import (
    cache_folder,
    cache_name,
    fetch,
    require_sha256,
)
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labelled_files import FileSource
from components.image_example_gen.sources.base.reading import convert_os_errors
from components.image_example_gen.sources.detect import detect_folder, span_folders
from components.image_example_gen.sources.folder import FolderSource
from components.image_example_gen.sources.csv_file import CsvSource

_FORMAT = 3  # of the extracted folder; earlier ones are replaced


def open_archive(config: DataConfig, *, complete: bool = True) -> FileSource:
    """Opens the folder, or the table of images, in an archive; it is downloaded before, if needed.

    The archive is extracted once, and again after it has changed. The fingerprint is the SHA-256
    digest of the archive.

    Raises:
        DataError: the file is missing, not an archive, encrypted, damaged or too large; it cannot
            be downloaded; a name leads out of the archive; the cache folder cannot be written; or
            see FolderSource.
    """
    path = fetch(config.download_url(), config.sha256) if config.url else config.path
    assert path
    if not path.is_file():
        problem = 'is not a regular file' if path.exists() else 'does not exist'
        raise DataError(f'archive {path} {problem}; give a file (zip, tar, tar.gz, ...)')
    if config.sha256 and not config.url:
        require_sha256(path, config.sha256)
    with convert_os_errors():
        open_regular(path).close()
        folder = _version_folder(path)
        if not folder.exists():
            _extract(path, folder)
        if _version_folder(path) != folder:
            raise DataError(f'archive {path} changed while it was read; start again')
        try:
            contents = json.loads((folder / extraction.CONTENTS).read_text(encoding='utf-8'))
        except ValueError as error:
            raise DataError(f'{folder} is damaged; remove it, start again') from error
    images = folder / extraction.IMAGES
    inner = config.model_copy(update={'path': images, 'url': None})
    ...
