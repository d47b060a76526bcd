"""Downloads of archives, from a misbehaving server on this machine."""

import functools
import gzip
import hashlib
import http.server
import io
import re
import shutil
import socket
import threading

import pytest

from common import console
from common.errors import DataError
from components.image_example_gen.sources.archive import download, transfer
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.open_source import make_source

BODY = b'PK' + bytes(range(256)) * 1000


class _Server(http.server.ThreadingHTTPServer):
    """Serves `body` at any path; `requests` has the headers of each request."""

    body, status, etag, encoding = BODY, 200, '"1"', None
    cuts: tuple[int, ...] = ()  # lengths at which the first, second, ... response is cut off
    ranges = True
    range_status: int | None = None  # response to a request of a range
    shift = 0  # of the ranges that it sends

    def __init__(self):
        super().__init__(('127.0.0.1', 0), _Handler)
        self.requests = []

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server_port}/some/pets.zip?key=secret'

    @property
    def requested_ranges(self):
        return [headers.get('Range') for headers in self.requests]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append(dict(self.headers))
        status = server.range_status if self.headers['Range'] else server.status
        if status not in (None, 200):
            self.send_error(status)
            return
        if server.etag and self.headers['If-None-Match'] == server.etag:
            self.send_response(304)
            self.end_headers()
            return
        start = 0
        if server.ranges and self.headers['Range'] and self.headers['If-Range'] == server.etag:
            start = int(re.fullmatch(r'bytes=(\d+)-', self.headers['Range'])[1]) + server.shift
        total = len(server.body)
        self.send_response(206 if start else 200)
        headers = {
            'Content-Range': f'bytes {start}-{total - 1}/{total}' if start else None,
            'ETag': server.etag,
            'Content-Encoding': server.encoding,
            'Content-Length': str(total - start),
        }
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        cuts = dict(enumerate(server.cuts, start=1))
        self.wfile.write(server.body[start : cuts.get(len(server.requests))])

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
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setattr(transfer, '_BACKOFF', 0.001)
    monkeypatch.setattr(download, '_checked', {})
    return tmp_path / 'cache'


@pytest.fixture
def fetch(server, monkeypatch):
    """Fetches as another process would, with only the cache in common."""

    def fetch_anew(sha256=None):
        monkeypatch.setattr(download, '_checked', {})
        return download.fetch(server.url, sha256)

    return fetch_anew


def error_of(url):
    with pytest.raises(DataError) as error:
        download.fetch(url)
    assert 'secret' not in str(error.value)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_missing_home_folder_is_an_error(monkeypatch):
    for variable in ('CATDOG_CACHE', 'XDG_CACHE_HOME', 'HOME'):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr('pwd.getpwuid', {}.__getitem__)  # of a user without an entry in /etc/passwd

    with pytest.raises(DataError, match='no home folder; set CATDOG_CACHE'):
        download.fetch('http://127.0.0.1/pets.zip')


@pytest.mark.parametrize('encoding', [None, 'gzip'])
def test_downloads_unchanged_contents_into_the_cache(fetch, server, monkeypatch, cache, encoding):
    server.body, server.encoding = gzip.compress(BODY), encoding
    monkeypatch.delenv('CATDOG_CACHE')
    monkeypatch.setenv('XDG_CACHE_HOME', str(cache))

    path = fetch()

    assert path.read_bytes() == server.body
    assert path.parent == cache / 'catdog-pipeline'
    assert path.name.endswith('-pets.zip')
    assert not list(path.parent.glob('*.partial'))


@pytest.mark.parametrize('name', ['a\0.zip', 'é' * 200, '\udcff.zip', '..', ''], ids=ascii)
def test_name_in_the_cache_is_possible(name, cache):
    cache.mkdir()
    (cache / f'{download.cache_name("key", name)}.partial').touch()


def test_unchanged_file_is_checked_once_per_process(fetch, server):
    path = fetch()
    assert fetch() == download.fetch(server.url) == path

    assert [headers.get('If-None-Match') for headers in server.requests] == [None, '"1"']


@pytest.mark.parametrize('etag', ['"2"', None])
def test_changed_file_is_downloaded_again(fetch, server, etag):
    fetch()
    server.body, server.etag = b'PK new', etag

    assert fetch().read_bytes() == b'PK new'
    assert fetch().read_bytes() == b'PK new'


def test_interrupted_transfer_is_resumed(fetch, server, monkeypatch):
    monkeypatch.setattr(transfer, '_RETRIES', 1)
    monkeypatch.setattr(transfer, '_PROGRESS', 1)
    server.cuts = (100_000, 150_000)

    assert fetch().read_bytes() == BODY
    assert server.requested_ranges == [None, 'bytes=100000-', 'bytes=150000-']


@pytest.mark.parametrize(
    ('attributes', 'ranges'),
    [
        ({'shift': 1}, [None, 'bytes=100000-', None]),  # sends another range
        ({'range_status': 416}, [None, 'bytes=100000-', None]),
        ({'ranges': False}, [None, 'bytes=100000-']),
        ({'etag': 'W/"1"'}, [None, None]),  # the version is not certain
    ],
)
def test_transfer_restarts_if_it_cannot_be_resumed(fetch, server, attributes, ranges):
    server.cuts = (100_000,)
    for name, value in attributes.items():
        setattr(server, name, value)

    assert fetch().read_bytes() == BODY
    assert server.requested_ranges == ranges


def test_resumed_transfer_does_not_mix_versions(fetch, server, monkeypatch):
    server.cuts = (100_000,)

    def change(_):
        server.body, server.etag = BODY[::-1], '"2"'

    monkeypatch.setattr(transfer.time, 'sleep', change)
    assert fetch().read_bytes() == BODY[::-1]


def test_transfer_without_progress_ends(server, cache):
    server.cuts = (10,) * 20

    assert 'pets.zip?*** cannot be fetched: the connection is lost' in error_of(server.url)
    assert len(server.requests) == 4
    assert not list(cache.glob('*.partial'))


@pytest.mark.parametrize(('status', 'requests'), [(404, 1), (403, 1), (503, 4)])
def test_reports_error_status_without_password(server, status, requests):
    server.status = status

    error = error_of(server.url.replace('//', '//me:secret@'))

    words = http.HTTPStatus(status).phrase
    assert error.startswith('http://***@127.0.0.1:')
    assert error.endswith(f'cannot be fetched: the server answers {status} {words}')
    assert len(server.requests) == requests


def test_reports_failed_connections(server):
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(('127.0.0.1', 0))
        url = f'http://127.0.0.1:{taken.getsockname()[1]}/pets.zip'

        assert error_of(url) == (
            f'{url} cannot be fetched: the server cannot be reached (Connection refused)'
        )
    assert 'no safe connection can be made' in error_of(server.url.replace('http:', 'https:'))


def test_rejects_web_page_and_unwritable_cache(server, cache):
    server.body = b'\n<!DOCTYPE html><html>Please log in</html>'

    assert 'it is a web page, not an archive' in error_of(server.url)
    assert not list(cache.glob('*pets.zip'))
    shutil.rmtree(cache)
    cache.write_text('a file')
    assert 'pets.zip?*** cannot be kept in' in error_of(server.url)


@pytest.mark.parametrize(
    'attributes',
    [
        {'status': 404},
        {'status': 503},
        {'etag': '"2"', 'body': b'<html>'},
        {'etag': '"2"', 'body': BODY[::-1], 'cuts': (10,) * 12},  # retried: it has started
    ],
)
def test_uses_the_copy_if_the_download_fails(fetch, server, attributes):
    path = fetch()
    for name, value in attributes.items():
        setattr(server, name, value)

    output = io.StringIO()
    with console.output_to(output):
        assert fetch() == path

    assert path.read_bytes() == BODY
    assert re.search(r'cannot be fetched \(.*\); the copy of 20\d\d-.* is used', output.getvalue())
    assert len(server.requests) == (5 if server.cuts else 2)


def test_copy_with_the_digest_is_not_checked_again(fetch, server):
    digest = hashlib.sha256(BODY).hexdigest()

    assert fetch(digest) == fetch(digest)
    assert len(server.requests) == 1


def test_rejects_wrong_digest_of_url_or_file(server, tmp_path):
    path = tmp_path / 'pets.zip'
    path.write_bytes(BODY)
    sentence = (
        rf'pets\.zip(\?\*\*\*)? has the sha256 {hashlib.sha256(BODY).hexdigest()}; expected 0000'
    )
    for place in ({'url': server.url}, {'path': path}):
        with pytest.raises(DataError, match=sentence):
            make_source(DataConfig(source='archive', sha256='0' * 64, **place))
