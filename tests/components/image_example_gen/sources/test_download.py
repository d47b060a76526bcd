"""Downloads of archives, from a misbehaving server on this machine."""

import functools
import gzip
import hashlib
import http.server
import os
import shutil
import socket
import threading
from pathlib import Path

import pytest

from common.errors import DataError
from components.image_example_gen.sources import download
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.spans import make_source

BODY = b'PK' + bytes(range(256)) * 5000


class _Server(http.server.ThreadingHTTPServer):
    """Serves `body` at any path; `requests` has the headers of each request."""

    body, status, etag, encoding, type = BODY, 200, '"1"', '', ''
    cut: int | None = None  # length at which the response is cut off

    def __init__(self):
        super().__init__(('127.0.0.1', 0), _Handler)
        self.requests = []
        self.url = f'http://127.0.0.1:{self.server_port}/some/pets.zip?key=secret'


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append(dict(self.headers))
        is_same = server.etag and self.headers['If-None-Match'] == server.etag
        self.send_response(304 if is_same and server.status == 200 else server.status)
        self.send_header('ETag', server.etag)
        self.send_header('Content-Encoding', server.encoding)
        self.send_header('Content-Type', server.type)
        self.send_header('Content-Length', str(len(server.body)))
        self.end_headers()
        if not is_same:
            self.wfile.write(server.body[: server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with _Server() as running:
        thread = threading.Thread(target=functools.partial(running.serve_forever, 0.01))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('CATDOG_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture
def fetch(server, cache):
    """Fetches as some minutes later."""

    def fetch_later(sha256=None):
        for each in cache.rglob('*.etag'):
            os.utime(each, (0, 0))
        return download.fetch(server.url, sha256)

    return fetch_later


def error_of(url):
    with pytest.raises(DataError) as error:
        download.fetch(url)
    assert 'secret' not in str(error.value)
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize('encoding', ['', 'gzip'])
def test_downloads_unchanged_contents_into_the_cache(fetch, server, monkeypatch, cache, encoding):
    server.body, server.encoding = gzip.compress(BODY), encoding
    monkeypatch.delenv('CATDOG_CACHE')
    monkeypatch.setenv('XDG_CACHE_HOME', str(cache))

    path = fetch()
    assert path.read_bytes() == server.body
    assert path.parent == cache / 'catdog-pipeline'
    assert path.name.endswith('-pets.zip')
    assert not list(path.parent.glob('*.partial'))

    for variable in ('XDG_CACHE_HOME', 'HOME'):
        monkeypatch.delenv(variable)
    monkeypatch.setattr('pwd.getpwuid', {}.__getitem__)  # of a user without an entry in /etc/passwd
    assert 'no home folder; set CATDOG_CACHE' in error_of(server.url)


@pytest.mark.parametrize('etag', ['"2"', ''])
def test_file_is_checked_after_some_minutes(fetch, server, etag):
    path = fetch()
    assert fetch() == download.fetch(server.url) == path
    assert [headers.get('If-None-Match') for headers in server.requests] == [None, '"1"']

    server.body, server.etag = b'PK new', etag
    assert fetch().read_bytes() == b'PK new'
    assert fetch().read_bytes() == b'PK new'


@pytest.mark.parametrize(
    ('attributes', 'problem'),
    [
        ({'status': 404}, 'the server answers 404 Not Found'),
        ({'status': 503}, 'the server answers 503 Service Unavailable'),
        ({'cut': 10}, 'the connection is lost'),
        ({'type': 'text/html; charset=utf-8'}, 'it is a web page; give the address of'),
    ],
)
def test_failed_download_is_one_line_or_leaves_the_copy(
    fetch, server, cache, attributes, problem, caplog
):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in attributes.items():
            patch.setattr(server, name, value, raising=False)
        error = error_of(server.url.replace('//', '//me:secret@'))
    assert error.startswith('http://***@127.0.0.1:')
    assert f'pets.zip?*** cannot be fetched: {problem}' in error
    assert [each.suffix for each in cache.iterdir()] == ['.lock']

    path = fetch()
    for name, value in {'etag': '"2"', **attributes}.items():
        setattr(server, name, value)
    assert fetch() == path
    assert path.read_bytes() == BODY
    assert 'an earlier copy is used' in caplog.text


def test_reports_failed_connections(server, cache):
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(('127.0.0.1', 0))
        url = f'http://127.0.0.1:{taken.getsockname()[1]}/pets.zip'
        assert f'{url} cannot be fetched: the server cannot be reached' in error_of(url)
    assert 'no valid certificate' in error_of(server.url.replace('http:', 'https:'))
    shutil.rmtree(cache)
    cache.write_text('a file')
    assert 'pets.zip?*** cannot be kept in' in error_of(server.url)


def test_copy_with_the_digest_is_not_checked_again(fetch, server):
    digest = hashlib.sha256(BODY).hexdigest()

    assert fetch(digest) == fetch(digest.upper())
    assert len(server.requests) == 1


def test_rejects_wrong_digest_of_url_or_file(server, tmp_path):
    path = shutil.make_archive(str(tmp_path / 'pets'), 'zip', tmp_path)
    server.body = Path(path).read_bytes()
    for place in ({'url': server.url}, {'path': path}):
        message = rf'pets\.zip(\?\*\*\*)? has the sha256 {hashlib.sha256(server.body).hexdigest()}'
        with pytest.raises(DataError, match=message):
            make_source(DataConfig(source='archive', sha256='0' * 64, **place))
