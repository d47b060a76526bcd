"""Servers of S3 and Google Cloud Storage on 127.0.0.1, for tests of the real clients."""

import contextlib
import http.server
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pytest
import required

from common import stack

_numbers = itertools.count()


class Bucket:
    """A new, empty bucket, and its server.

    The attribute `refuse` of S3's server decides by method and path which requests are denied.
    """

    def __init__(self, scheme: str, server: 'S3Server | None' = None) -> None:
        import fsspec

        self.scheme, self.server = scheme, server
        self.storage = fsspec.filesystem(scheme, use_listings_cache=False)
        self.name = f'bucket-{next(_numbers)}'
        self.storage.mkdir(self.name)

    @property
    def url(self) -> str:
        return f'{self.scheme}://{self.name}'

    def put(self, name: str, contents: bytes | str = b'') -> None:
        contents = contents.encode() if isinstance(contents, str) else contents
        self.storage.pipe_file(f'{self.name}/{name}', contents)

    def read(self, name: str) -> bytes:
        return self.storage.cat_file(f'{self.name}/{name}')

    def remove(self, name: str) -> None:
        self.storage.rm_file(f'{self.name}/{name}')

    @property
    def objects(self) -> set[str]:
        """The names of all objects."""
        return {path.partition('/')[2] for path in self.storage.find(self.name)}


class S3Server:
    """moto's server, which denies the requests that `refuse` selects by method and path."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        self.refuse: Callable[[str, str], bool] = lambda method, path: False
        self.status = '403 Forbidden'
        self.requests: list[tuple[str, str]] = []
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server('127.0.0.1', 0, self._answer, threaded=True)
        self.url = f'http://127.0.0.1:{self._server.server_port}'
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer(self, environ, start_response):
        method, path = environ['REQUEST_METHOD'], environ['PATH_INFO']
        self.requests.append((method, path))
        if self.refuse(method, path):
            start_response(self.status, [('Content-Length', '0')])
            return []
        return self._app(environ, start_response)

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables for clients."""
        return {
            'AWS_ENDPOINT_URL': self.url,
            'AWS_ACCESS_KEY_ID': 'test',
            'AWS_SECRET_ACCESS_KEY': 'test',
            'AWS_DEFAULT_REGION': 'us-east-1',
            'AWS_CONFIG_FILE': os.devnull,
        }

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def set_variables(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Sets environment variables until the end of the test."""
    for key, value in variables.items():
        monkeypatch.setenv(key, value)


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    for package in ('s3fs', 'moto.server'):
        required.package(package)
    server = S3Server()
    yield server
    server.stop()


def gs_variables(address: str) -> dict[str, str]:
    """Environment variables for clients of Google Cloud Storage."""
    return {
        'STORAGE_EMULATOR_HOST': address,
        'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',  # asks Google for the credentials
    }


@contextlib.contextmanager
def gs_server() -> Iterator[str]:
    if stack.LEGACY:
        pytest.skip('gcsfs needs the current stack')
    for package in ('gcsfs', 'gcp_storage_emulator'):
        required.package(package)
    from gcp_storage_emulator.server import RequestHandler
    from gcp_storage_emulator.storage import Storage

    handler = partial(RequestHandler, Storage(use_memory_fs=True))
    with http.server.HTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()
