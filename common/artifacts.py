"""Local folders of artifacts, and their files in object storage."""

import contextlib
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, TypeAdapter, ValidationError

from common.errors import ObjectNotFound, StorageError
from common.files import sha256_of
from common.mirror import is_remote, local_path, uri_of
from common.storage import Bucket, Folder

SERVED = 'Format-Serving'  # TFX's subfolder of a Model artifact that holds the SavedModel
# After the folder of a remote artifact: size and SHA-256 of each of its files, written last.
_LIST = '.files.json'
_FILES = TypeAdapter(dict[str, tuple[int, str]])


def folder_of(uri: str) -> Path:
    """Local folder of an artifact URI, without a look whether it exists.

    Raises:
        ValueError: the URI has an unknown scheme, or a null byte.
    """
    if '\0' in uri:
        raise ValueError(f'{uri} is not a folder: it contains a null byte')
    return local_path(uri)


def content_of(uri: str) -> Path:
    """Local folder of an artifact; downloads the files of a remote one that exists.

    Raises:
        ValueError: as `folder_of`.
        StorageError: the files cannot be downloaded, or differ from what was uploaded.
    """
    folder = folder_of(uri)
    if is_remote(folder):
        with contextlib.suppress(FileNotFoundError):
            download(uri)
    return folder


def download(uri: str) -> int:
    """Downloads the files of a remote artifact that its local folder lacks; returns their bytes.

    A local file with other contents is replaced.

    Raises:
        FileNotFoundError: there is no such artifact, or its upload was not finished.
        StorageError: the files cannot be downloaded, or differ from what was uploaded.
    """
    wanted = folder_of(uri)
    folder = _root(wanted)
    storage = Bucket(uri_of(folder))
    try:
        files = _FILES.validate_json(Bucket(uri_of(folder.parent)).read(f'{folder.name}{_LIST}'))
    except ObjectNotFound as error:
        message = f'{uri} does not exist, or its upload was not finished'
        raise ObjectNotFound(message) from error
    except ValidationError as error:
        raise StorageError(
            f'{uri_of(folder)}{_LIST} is damaged: {error.errors()[0]["msg"]}'
        ) from None
    lacking = {
        name: folder / name
        for name, (size, known) in files.items()
        if (folder / name).is_relative_to(wanted) and '..' not in Path(name).parts
        if _size(folder / name) != size or sha256_of(folder / name) != known
    }
    storage.download(lacking)
    for name, path in lacking.items():
        if sha256_of(path) != files[name][1]:
            path.unlink()
            message = f'{uri_of(path)} differs from what was uploaded'
            raise StorageError(message, retryable=True)
    if not wanted.exists():  # an artifact without files
        wanted.mkdir(parents=True)
    return sum(files[name][0] for name in lacking)


def upload(uri: str) -> int:
    """Uploads the local files of a remote artifact, and then their list; returns their bytes.

    Until the list is written, the artifact does not exist.

    Raises:
        StorageError: the files cannot be uploaded, or the bucket lists other sizes.
    """
    folder = _root(folder_of(uri))
    files = {name: folder / name for name in Folder(folder).names()}
    known = {name: (path.stat().st_size, sha256_of(path)) for name, path in files.items()}
    storage = Bucket(uri_of(folder))
    storage.upload(files)
    listed = storage.sizes()
    if wrong := [name for name, (size, _) in known.items() if listed.get(name) != size]:
        raise StorageError(f'{uri}/{wrong[0]} was not uploaded completely', retryable=True)
    Bucket(uri_of(folder.parent)).write(f'{folder.name}{_LIST}', _FILES.dump_json(known))
    return sum(size for size, _ in known.values())


def is_stored(uri: str) -> bool:
    """Whether a remote artifact is uploaded completely."""
    folder = _root(folder_of(uri))
    return bool(Bucket(uri_of(folder.parent)).names(f'{folder.name}{_LIST}'))


def artifacts_in(output: Path) -> list[Path]:
    """Folders of the artifacts of an output of a component; remote ones need not be here."""
    if not is_remote(output):
        return [each for each in output.glob('*') if each.name.isdecimal()]
    lists = (name for name in Bucket(uri_of(output)).names() if name.endswith(_LIST))
    numbers = (name.removesuffix(_LIST) for name in lists)
    return [output / number for number in numbers if number.isdecimal()]


def _root(folder: Path) -> Path:
    """The folder that TFX names after the execution: that of an artifact, or the one around it."""
    return folder if folder.name.isdecimal() else folder.parent


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _is_known(uri: str) -> str:
    folder_of(uri)
    return uri


KnownUri = Annotated[str, AfterValidator(_is_known)]  # in files that users may edit
