"""Errors of object storage: one line each, in bounded time, and whether to try again."""

import http.server
import socket
import sys
import threading

import pytest
import required

from common import stack
from common.errors import StorageError
from common.object_storage import URL, open_bucket


@pytest.fixture
def endpoint(s3_server, monkeypatch):
    """`endpoint(url)` sends the requests of new clients to another server, each request once."""
    s3fs = required.package('s3fs')

    def use(url):
        monkeypatch.setenv('AWS_ENDPOINT_URL', url)
        monkeypatch.setenv('AWS_MAX_ATTEMPTS', '1')
        monkeypatch.setattr(s3fs.S3FileSystem, 'read_timeout', 0.3)
        s3fs.S3FileSystem.clear_instance_cache()

    yield use
    s3fs.S3FileSystem.clear_instance_cache()


def error_of(url: str) -> StorageError:
    with pytest.raises(StorageError) as caught, open_bucket(url) as (storage, root):
        storage.ls(root)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


@pytest.mark.parametrize(
    ('url', 'is_valid'),
    [
        *((each, True) for each in ('s3://b', 's3://b/', 'gs://b-1/pets/2026')),
        *((each, False) for each in ('s3://', 's3:/b', 'b/pets', 'http://b/pets')),
        *((each, False) for each in ('s3://b/*.jpg', 's3://b/"x"')),
    ],
)
def test_urls_name_a_bucket_or_a_prefix_without_wildcards_and_quotes(url, is_valid):
    assert bool(URL.fullmatch(url)) == is_valid


@pytest.mark.parametrize(('scheme', 'package'), [('s3', 's3fs'), ('gs', 'gcsfs')])
def test_missing_client_is_an_error_with_the_command_that_installs_it(scheme, package, monkeypatch):
    for module in (package, 'botocore', 'gcsfs.retry'):
        monkeypatch.setitem(sys.modules, module, None)
    for module in [name for name in sys.modules if name.startswith('botocore.')]:
        monkeypatch.delitem(sys.modules, module)

    error = error_of(f'{scheme}://pets')

    legacy = stack.LEGACY and scheme == 'gs'  # gcsfs does not fit its Beam
    advice = 'it needs the current stack' if legacy else '`make venv-dev` adds it'
    assert f'{package} is not installed; {advice}' in str(error)
    assert not error.retryable


def test_missing_bucket_or_prefix_is_an_error(bucket):
    for url in (f'{bucket.url}-typo', f'{bucket.url}/typo'):
        error = error_of(url)
        assert f'{url} does not exist' in str(error)
        assert not error.retryable


def test_denied_access_is_not_tried_again(s3_bucket):
    s3_bucket.server.refuse = lambda method, path: True
    error = error_of(s3_bucket.url)
    assert 'is denied' in str(error)
    assert 'check the credentials' in str(error)
    assert not error.retryable
    assert len(s3_bucket.server.requests) == 1


def test_missing_credentials_are_an_error(endpoint, s3_server, monkeypatch):
    endpoint(s3_server.url)
    for key in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'):
        monkeypatch.delenv(key)
    monkeypatch.setenv('AWS_SHARED_CREDENTIALS_FILE', '/dev/null')
    monkeypatch.setenv('AWS_EC2_METADATA_DISABLED', 'true')
    error = error_of('s3://pets')
    assert 'is denied (Unable to locate credentials)' in str(error)
    assert not error.retryable


@pytest.mark.parametrize(
    ('listens', 'reason'), [(False, 'Could not connect'), (True, 'Read timeout')]
)
def test_endpoint_that_refuses_or_does_not_answer_is_given_up(endpoint, listens, reason):
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        if listens:
            server.listen()
        endpoint(f'http://127.0.0.1:{server.getsockname()[1]}')
        error = error_of('s3://pets')
    assert f'cannot be reached ({reason}' in str(error)
    assert error.retryable


def test_busy_server_is_asked_again(s3_bucket):
    s3_bucket.put('pets/1.jpg')
    server, refusals = s3_bucket.server, iter([True, True])
    server.refuse = lambda method, path: next(refusals, False)
    server.status = '503 Slow Down'

    with open_bucket(f'{s3_bucket.url}/pets') as (storage, root):
        assert storage.ls(root, detail=False) == [f'{root}/1.jpg']
    assert next(refusals, None) is None


@pytest.mark.parametrize(
    ('status', 'message', 'retryable'),
    [(403, 'is denied (Forbidden', False), (418, 'cannot be reached', True)],
)
def test_errors_of_google_cloud_storage(gs_server, monkeypatch, status, message, retryable):
    gcsfs = required.package('gcsfs')

    class Failing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(status)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Failing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv('STORAGE_EMULATOR_HOST', f'http://127.0.0.1:{server.server_port}')
    gcsfs.GCSFileSystem.clear_instance_cache()
    error = error_of('gs://pets')
    gcsfs.GCSFileSystem.clear_instance_cache()
    server.shutdown()
    server.server_close()
    assert message in str(error)
    assert error.retryable == retryable
