"""Local folders that mirror prefixes of object storage, for libraries that need files on a disk.

`s3://BUCKET/PREFIX` is the folder `s3/BUCKET/PREFIX` of the cache. A process works with the path;
what is stored has the URI.
"""

import os
from pathlib import Path

from common.errors import DataError

CACHE = 'CATDOG_CACHE'  # environment variable
SCHEMES = ('s3', 'gs')


def cache_folder() -> Path:
    """`$CATDOG_CACHE`, else `catdog-pipeline` in `$XDG_CACHE_HOME` or `~/.cache`.

    Raises DataError if there is no home folder.
    """
    folder = os.environ.get(CACHE)
    if folder:
        return Path(folder).absolute()
    try:
        caches = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    except RuntimeError as error:
        raise DataError(f'there is no home folder; set {CACHE} to a cache folder') from error
    return Path(caches, 'catdog-pipeline').absolute()


def local_path(place: str | Path) -> Path:
    """The folder that mirrors a URI; a local path is unchanged.

    Raises:
        ValueError: the URI has another scheme, or empty parts or `..`.
    """
    scheme, separator, rest = str(place).partition('://')
    if not separator:
        return Path(place)
    parts = rest.removesuffix('/').split('/')
    if scheme not in SCHEMES or {'', '.', '..'} & {*parts}:
        raise ValueError(f'{place} is neither a local folder nor s3://BUCKET/PREFIX')
    return cache_folder().joinpath(scheme, *parts)


def uri_of(path: str | Path) -> str:
    """The URI that a local folder mirrors; other paths and URIs are unchanged."""
    try:
        scheme, *parts = Path(path).relative_to(cache_folder()).parts
    except (ValueError, DataError):
        return str(path)
    return f'{scheme}://{"/".join(parts)}' if scheme in SCHEMES and parts else str(path)


def is_remote(place: str | Path) -> bool:
    """Whether a path or URI is in object storage."""
    return '://' in uri_of(place)
