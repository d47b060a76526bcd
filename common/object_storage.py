"""Opens `s3://` and `gs://` URLs with fsspec, and converts the errors of its clients.

Credentials and endpoints are those of the clients: `AWS_*` variables and files for s3fs,
`GOOGLE_APPLICATION_CREDENTIALS` for gcsfs; fsspec reads further options from `FSSPEC_S3_*` and
`FSSPEC_GS_*`.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from common import stack
from common.errors import ObjectNotFound, StorageError
from common.extras import how_to_install

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# Without wildcards of fsspec, quotes and control characters; credentials are not part of it.
URL = re.compile(r'(s3|gs)://[^/\s"\\*?\[\]@]+(/[^"\\*?\[\]\x00-\x1f]*)?')
_PACKAGES = {'s3': 's3fs', 'gs': 'gcsfs'}
_OPTIONS: dict[str, dict[str, int]] = {
    's3': {'max_concurrency': 1},  # for one object; with more, s3fs asks for its size first
    'gs': {'requests_timeout': 15},  # seconds, as s3fs has by default
}
_RETRIES = 2  # of s3fs; botocore sends each request up to five times
_DENIED = re.compile('NoCredentials|PartialCredentials|DefaultCredentials|RefreshError')


@contextlib.contextmanager
def open_bucket(url: str) -> Iterator[tuple['AbstractFileSystem', str]]:
    """Yields the file system of a URL, and the path of the URL in it: `bucket/prefix`.

    Listings are not cached. The clients repeat failed requests; they give up a service that does
    not answer after three minutes.

    Raises:
        StorageError: the client is not installed; in the `with` block, access is denied, or the
            service fails or does not answer; ObjectNotFound without such a bucket or object.
        FileExistsError: in the `with` block, a new object exists already.
    """
    scheme = url.partition(':')[0]
    package = _PACKAGES[scheme]
    try:
        import fsspec

        errors = _client_errors(scheme)
        kind = fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        legacy = stack.LEGACY and scheme == 'gs'
        advice = 'it needs the current stack' if legacy else how_to_install(scheme)
        raise StorageError(f'{url}: {package} is not installed; {advice}') from error
    logging.getLogger(package).setLevel(logging.CRITICAL)  # its errors are raised, too
    try:
        storage = kind(use_listings_cache=False, **_OPTIONS[scheme])
        if scheme == 's3':
            storage.retries = _RETRIES
        yield storage, kind._strip_protocol(url)
    except errors as error:
        raise _converted(url, error) from error


def _client_errors(scheme: str) -> tuple[type[Exception], ...]:
    """The base classes of the errors of a client; raises ImportError without it."""
    if scheme == 's3':
        import aiohttp
        import botocore.exceptions

        return OSError, asyncio.TimeoutError, botocore.exceptions.BotoCoreError, aiohttp.ClientError
    import gcsfs.retry
    import google.auth.exceptions

    auth_error = google.auth.exceptions.GoogleAuthError
    return OSError, asyncio.TimeoutError, gcsfs.retry.HttpError, auth_error


def _converted(url: str, error: Exception) -> StorageError | FileExistsError:
    if isinstance(error, FileExistsError) or getattr(error, 'code', None) == 412:
        return FileExistsError(f'an object in {url} exists already')
    # A request's query is of no use in a message.
    detail = re.sub(r'\?[^"\s]*', '', ' '.join(str(error).split()))[:200] or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return ObjectNotFound(f'{url} does not exist ({detail}); check bucket and prefix')
    denied = (
        isinstance(error, PermissionError)
        or getattr(error, 'code', None) in (401, 403)
        or detail.startswith('Forbidden')
        or _DENIED.search(type(error).__name__)
    )
    if denied:
        return StorageError(
            f'access to {url} is denied ({detail}); check the credentials in the environment'
        )
    return StorageError(
        f'{url} cannot be reached ({detail}); check network and endpoint', retryable=True
    )
