"""Fetching archives, from a server on this machine that can be told to misbehave."""

import functools
import gzip
import hashlib
import http.server
import io
import os
import re
import shutil
import socket
import threading
import zipfile
from collections import Counter

import pytest

from common import console
from common.errors import DataError
from components.image_example_gen.sources.archive import download, transfer
from components.image_example_gen.sources.base.config import DataConfig
from components.image_example_gen.sources.factory import make_source

BODY = b'PK' + bytes(range(256)) * 1000


class _Server(http.server.ThreadingHTTPServer):
    """Serves `body` at any path; what it was asked for is in `asked`."""

    body, status, etag, modified, encoding = BODY, 200, '"1"', None, None
    cuts: tuple[int, ...] = ()  # after so many bytes the first, second, ... answer is cut off
    ranges = True
    shift = 0  # of the ranges that it sends
    conditions = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), _Handler)
        self.asked = []
        self.sent = Counter()

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server_port}/some/pets.zip?key=secret'


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(dict(self.headers))
        if server.status != 200:
            self.send_error(server.status)
            return
        if server.conditions and server.etag and self.headers['If-None-Match'] == server.etag:
            self.send_response(304)
            self.end_headers()
            return
        start = 0
        unchanged = self.headers['If-Range'] in (None, server.etag)
        if server.ranges and self.headers['Range'] and unchanged:
            start = int(re.fullmatch(r'bytes=(\d+)-', self.headers['Range'])[1]) + server.shift
        self.send_response(206 if start else 200)
        if start:
            total = len(server.body)
            self.send_header('Content-Range', f'bytes {start}-{total - 1}/{total}')
        said = {
            'ETag': server.etag,
            'Last-Modified': server.modified,
            'Content-Encoding': server.encoding,
        }
        for name, value in said.items():
            if value:
                self.send_header(name, value)
        self.send_header('Content-Length', str(len(server.body) - start))
        self.end_headers()
        cuts = dict(enumerate(server.cuts, start=1))
        part = server.body[start : cuts.get(len(server.asked))]
        self.wfile.write(part)
        server.sent['bytes'] += len(part)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with _Server() as running:
        thread = threading.Thread(target=functools.partial(running.serve_forever, 0.01))
        thread.start()
        yield running
        running.shutdown()
        thread.join(10)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('CATDOG_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    monkeypatch.setattr(transfer, '_BACKOFF', 0.001)
    monkeypatch.setattr(download, '_checked', {})
    return tmp_path / 'cache'


@pytest.fixture
def told():
    """What a person sees."""
    stream = io.StringIO()
    with console.output_to(stream):
        yield stream


@pytest.fixture
def fetch(server, monkeypatch):
    """Fetches as another process would: nothing is known but what is in the cache."""

    def fetch_anew(sha256=None):
        monkeypatch.setattr(download, '_checked', {})
        return download.fetch(server.url, sha256)

    return fetch_anew


def refusal(url):
    with pytest.raises(DataError) as error:
        download.fetch(url)
    assert 'secret' not in str(error.value)
    assert '\n' not in str(error.value)
    return str(error.value)


def test_archive_is_fetched_into_the_cache(fetch, cache):
    path = fetch()

    assert path.read_bytes() == BODY
    assert path.parent == cache
    assert path.name.endswith('-pets.zip')
    assert not list(cache.glob('*.partial'))


def test_content_encoding_is_not_decoded(fetch, server):
    server.body, server.encoding = gzip.compress(BODY), 'gzip'

    assert fetch().read_bytes() == server.body


def test_cache_follows_xdg(monkeypatch, fetch, tmp_path):
    monkeypatch.delenv('CATDOG_CACHE')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))

    assert fetch().parent == tmp_path / 'xdg' / 'catdog-pipeline'


def test_unchanged_archive_is_not_fetched_again(fetch, server):
    assert fetch() == fetch()

    assert [headers.get('If-None-Match') for headers in server.asked] == [None, '"1"']
    assert server.sent['bytes'] == len(BODY)


@pytest.mark.parametrize(
    ('etag', 'modified'), [('"1"', None), (None, 'Sat, 21 Nov 2026 00:00:00 GMT'), (None, None)]
)
def test_validators_are_compared_if_the_server_ignores_conditions(
    fetch, server, etag, modified, told
):
    server.conditions, server.etag, server.modified = False, etag, modified
    path = fetch()
    path.write_bytes(b'!' * len(BODY))  # of the same size: it shows if it was fetched again

    assert fetch().read_bytes() == b'!' * len(BODY)
    assert 'cannot be fetched' not in told.getvalue()


def test_one_process_checks_once(server):
    for _ in range(3):
        download.fetch(server.url)

    assert len(server.asked) == 1


def test_changed_archive_is_fetched_again(fetch, server):
    fetch()
    server.body, server.etag = b'PK new', '"2"'

    assert fetch().read_bytes() == b'PK new'


def test_truncated_copy_is_fetched_again(fetch):
    os.truncate(fetch(), 100)

    assert fetch().read_bytes() == BODY


def test_interrupted_transfer_is_resumed_while_there_is_progress(fetch, server, monkeypatch):
    monkeypatch.setattr(transfer, '_RETRIES', 1)
    server.cuts = (100_000, 150_000, 200_000)

    assert fetch().read_bytes() == BODY
    assert [headers.get('Range') for headers in server.asked] == [
        None,
        'bytes=100000-',
        'bytes=150000-',
        'bytes=200000-',
    ]
    assert server.asked[1]['If-Range'] == '"1"'


def test_transfer_restarts_if_the_server_sends_another_range(fetch, server):
    server.cuts, server.shift = (100_000,), 1

    assert fetch().read_bytes() == BODY
    assert [headers.get('Range') for headers in server.asked] == [None, 'bytes=100000-', None]


def test_transfer_restarts_without_range_support(fetch, server):
    server.cuts, server.ranges = (100_000,), False

    assert fetch().read_bytes() == BODY
    assert server.sent['bytes'] == len(BODY) + 100_000


def test_versions_are_not_mixed_in_a_resumed_transfer(fetch, server):
    server.cuts = (100_000,)
    receive = transfer._receive

    def change(*arguments):
        try:
            receive(*arguments)
        finally:
            server.body, server.etag = BODY[::-1], '"2"'

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transfer, '_receive', change)
        assert fetch().read_bytes() == BODY[::-1]


def test_transfer_without_progress_fails(server, cache):
    server.cuts = (10, 10, 10, 10)

    assert 'pets.zip cannot be fetched: the connection is lost' in refusal(server.url)
    assert len(server.asked) == 4
    assert not list(cache.glob('*.partial'))


@pytest.mark.parametrize(('status', 'times'), [(404, 1), (403, 1), (503, 4)])
def test_error_status_is_reported(server, status, times):
    server.status = status

    words = http.HTTPStatus(status).phrase
    assert refusal(server.url).endswith(f'cannot be fetched: the server answers {status} {words}')
    assert len(server.asked) == times


def test_refused_connection_is_reported():
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(('127.0.0.1', 0))
        url = f'http://127.0.0.1:{taken.getsockname()[1]}/pets.zip'

        assert refusal(url) == (
            f'{url} cannot be fetched: the server cannot be reached (Connection refused)'
        )


def test_failed_tls_handshake_is_reported(server):
    error = refusal(server.url.replace('http:', 'https:'))

    assert 'cannot be fetched: no safe connection can be made' in error


def test_password_in_address_is_not_reported(server):
    server.status = 404

    assert 'http://127.0.0.1:' in refusal(server.url.replace('//', '//me:secret@'))


def test_web_page_is_refused(server, cache):
    server.body = b'\n<!DOCTYPE html><html>Please log in</html>'

    assert refusal(server.url).endswith(
        'it is a web page, not an archive; give the address of the file itself'
    )
    assert not list(cache.glob('*pets.zip'))


@pytest.mark.parametrize('how', ['error', 'gone', 'web page', 'changed and cut off'])
def test_copy_is_used_if_the_server_fails(fetch, server, told, how):
    path = fetch()
    if how == 'error':
        server.status = 404
    elif how == 'gone':
        server.status = 503
    else:
        server.etag = '"2"'
        server.body = b'<html>' if how == 'web page' else BODY[::-1]
        server.cuts = (10,) * 10 if how == 'changed and cut off' else ()

    assert fetch() == path
    assert path.read_bytes() == BODY
    assert re.search(r'cannot be fetched \(.*\); the copy of 20\d\d-.* is used', told.getvalue())


def test_copy_is_used_without_waiting(fetch, server, monkeypatch):
    path = fetch()
    monkeypatch.setattr(download.time, 'sleep', lambda _: pytest.fail('waited'))
    server.status = 503

    assert fetch() == path
    assert len(server.asked) == 2


def test_full_disk_is_reported(server, monkeypatch):
    full = shutil._ntuple_diskusage(total=10**9, used=10**9 - 1000, free=1000)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: full)

    assert 'No space left on device; CATDOG_CACHE names another folder' in refusal(server.url)


def test_unwritable_cache_is_reported(server, cache):
    cache.write_text('a file')

    assert re.search(
        r'cannot be kept in .*cache: (File exists|Not a directory)', refusal(server.url)
    )


def test_copy_with_the_digest_is_not_checked_again(fetch, server):
    digest = hashlib.sha256(BODY).hexdigest()

    assert fetch(digest) == fetch(digest)
    assert len(server.asked) == 1


def test_wrong_digest_is_refused_and_the_copy_stays(fetch, server):
    path = fetch()
    server.body, server.etag = b'PK other', '"2"'

    sentence = f'has the sha256 {hashlib.sha256(b"PK other").hexdigest()}; expected 0000'
    with pytest.raises(DataError, match=sentence):
        fetch('0' * 64)
    assert path.read_bytes() == BODY


def test_digest_of_local_archive_is_checked(tmp_path):
    (tmp_path / 'pets.zip').write_bytes(BODY)
    config = DataConfig(source='archive', path=tmp_path / 'pets.zip', sha256='0' * 64)

    with pytest.raises(DataError, match=r'pets\.zip has the sha256 \w{64}; expected 0+ \(data\.s'):
        make_source(config)


def test_address_is_a_source(server, tmp_path):
    with zipfile.ZipFile(tmp_path / 'pets.zip', 'w') as archive:
        for name in ('cats/1.jpg', 'dogs/1.jpg'):
            archive.writestr(name, name)
    server.body = (tmp_path / 'pets.zip').read_bytes()

    source = make_source(DataConfig(source='archive', url=server.url))

    assert (source.classes, source.count) == (('cats', 'dogs'), 2)
