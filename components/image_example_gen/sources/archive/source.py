"""Source for images in a zip or tar archive of class folders."""

import hashlib
import json
from pathlib import Path

from common.errors import CallFailed, DataError
from common.files import open_regular
from components.image_example_gen.inspection.limited_process import Limits, call
from components.image_example_gen.sources.archive import extraction
from components.image_example_gen.sources.archive.download import cache_folder, cache_name
from components.image_example_gen.sources.base.data_config import number_of_span
from components.image_example_gen.sources.base.groups import GroupConfig
from components.image_example_gen.sources.base.image_files import is_image
from components.image_example_gen.sources.base.reading import MAX_BYTES, convert_os_errors
from components.image_example_gen.sources.base.source_protocol import BadImage
from components.image_example_gen.sources.folder import FolderSource

_FORMAT = 2  # of the extracted folder; earlier ones are replaced


class ArchiveSource(FolderSource):
    """A FolderSource of an archive, which is extracted into the cache folder.

    The archive is extracted once, and again after it has changed. Single folders around the class
    folders are skipped. The fingerprint is the SHA-256 digest of the archive.

    Raises:
        DataError: the file is missing, not an archive, encrypted, damaged or too large; a name
            leads out of the archive; the cache folder cannot be written; or see FolderSource.
    """

    def __init__(
        self,
        path: Path,
        classes: tuple[str, ...] | None = None,
        *,
        max_bytes: int = MAX_BYTES,
        group_by: GroupConfig | None = None,
        label_pattern: str | None = None,
    ) -> None:
        if not path.is_file():
            problem = 'is not a regular file' if path.exists() else 'does not exist'
            raise DataError(f'archive {path} {problem}; give a file (zip, tar, tar.gz, ...)')
        with convert_os_errors():
            open_regular(path).close()
            folder = _version_folder(path)
            if not folder.exists():
                _run_extraction(path, folder)
            if _version_folder(path) != folder:
                raise DataError(f'archive {path} changed while it was read; start again')
            try:
                contents = json.loads((folder / extraction.CONTENTS).read_text())
            except ValueError as error:
                raise DataError(f'{folder} is damaged; remove it, start again') from error
            images = _skip_single_folders(folder / extraction.IMAGES)
            for each in images.iterdir():
                if number_of_span(each.name) is not None:
                    raise DataError(
                        f'archive {path} contains {each.name}, the folder of a span; spans are '
                        'only read from folders: extract it'
                    )
        super().__init__(
            images,
            classes,
            max_bytes=max_bytes,
            archive=path,
            group_by=group_by,
            label_pattern=label_pattern,
            digest=contents['fingerprint'],
        )
        if self.count != contents['images']:
            raise DataError(f'{folder} has lost images of archive {path}; remove it, start again')
        self._files += [
            BadImage(name, 'unreadable', f'it cannot be read: {problem}')
            for name, problem in contents['unreadable'].items()
        ]
        self.count = len(self._files)


def _version_folder(path: Path) -> Path:
    """The folder of an extracted archive; changes when the file is written again."""
    status = path.stat()
    version = f'{_FORMAT} {status.st_ino} {status.st_size} {status.st_mtime_ns}'
    digest = hashlib.sha256(version.encode()).hexdigest()
    return cache_folder() / 'extracted' / cache_name(str(path.absolute()), path.name) / digest[:16]


def _run_extraction(path: Path, folder: Path) -> None:
    """Extracts in a subprocess with limits of memory and CPU time."""
    try:
        list(call(Limits.for_file(path), extraction.extract_archive, path.absolute(), folder))
    except (CallFailed, DataError) as error:
        raise DataError(f'archive {path} cannot be extracted: {error}') from None


def _skip_single_folders(folder: Path) -> Path:
    """Skips folders around all class folders, which archives often have."""
    children = list(folder.iterdir())
    folders = [each for each in children if each.is_dir()]
    if len(folders) == 1:
        children += folders[0].iterdir()
        if not any(is_image(each.name) for each in children):
            return _skip_single_folders(folders[0])
    return folder
