"""The message to the webhook, and the errors of the webhook."""

import http.server
import json
import socket
import threading
import time

import pytest

from pipeline.retraining import webhook
from pipeline.retraining.webhook import post_to_webhook


class Handler(http.server.BaseHTTPRequestHandler):
    """Responds with the status codes of the server, one after the other, then 200."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.server.received.append((self.path, json.loads(body)))
        code = self.server.codes.pop(0) if self.server.codes else 200
        self.send_response(code)
        if code == 302:
            self.send_header('Location', '/elsewhere')
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with http.server.HTTPServer(('127.0.0.1', 0), Handler) as listening:
        listening.received, listening.codes = [], []
        monkeypatch.setenv('HOOK', f'http://127.0.0.1:{listening.server_port}/secret-token')
        monkeypatch.setenv('NO_PROXY', '127.0.0.1')
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield listening
        listening.shutdown()
        thread.join(10)


def test_posts_json(server):
    assert post_to_webhook('HOOK', {'verdict': 'failed', 'spans': [1]}) is None
    assert server.received == [('/secret-token', {'verdict': 'failed', 'spans': [1]})]


def test_retries_after_server_errors(server):
    pauses = []
    server.codes = [500, 503]
    assert post_to_webhook('HOOK', {}, sleep=pauses.append) is None
    assert (len(server.received), pauses) == (3, [1, 2])


@pytest.mark.parametrize(
    ('code', 'error', 'attempts'),
    [
        (302, 'status 302, a redirect, which is not followed', 1),
        (404, 'status 404', 1),
        (500, 'status 500', 3),
    ],
)
def test_reports_status_without_the_url(server, code, error, attempts):
    server.codes = [code] * 3
    found = post_to_webhook('HOOK', {}, sleep=lambda _: None)
    assert found == f'the webhook in HOOK failed: {error}'
    assert len(server.received) == attempts


def test_does_not_read_the_body_of_the_response(monkeypatch):
    with socket.create_server(('127.0.0.1', 0)) as listening:
        monkeypatch.setenv('HOOK', f'http://127.0.0.1:{listening.getsockname()[1]}')
        monkeypatch.setenv('NO_PROXY', '127.0.0.1')
        ended = threading.Event()

        def respond():
            client, _ = listening.accept()
            with client:
                client.recv(2**16)
                client.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n')
                ended.wait(10)

        thread = threading.Thread(target=respond)
        thread.start()
        start = time.monotonic()
        error = post_to_webhook('HOOK', {})
        ended.set()
        thread.join(10)
    assert error is None
    assert time.monotonic() - start < 5


def test_gives_up_without_a_response(monkeypatch):
    monkeypatch.setattr(webhook, '_TIMEOUT', 0.1)
    with socket.create_server(('127.0.0.1', 0)) as silent:
        monkeypatch.setenv('HOOK', f'http://127.0.0.1:{silent.getsockname()[1]}')
        monkeypatch.setenv('NO_PROXY', '127.0.0.1')
        assert 'no response within' in post_to_webhook('HOOK', {}, sleep=lambda _: None)


def test_gives_up_on_headers_sent_byte_by_byte(monkeypatch):
    monkeypatch.setattr(webhook, '_LIMIT', 0.5)
    monkeypatch.setattr(webhook, '_PAUSES', ())
    with socket.create_server(('127.0.0.1', 0)) as listening:
        monkeypatch.setenv('HOOK', f'http://127.0.0.1:{listening.getsockname()[1]}')
        monkeypatch.setenv('NO_PROXY', '127.0.0.1')
        ended = threading.Event()

        def respond():
            client, _ = listening.accept()
            with client:
                client.recv(2**16)
                client.sendall(b'HTTP/1.1 200 OK\r\nX-Slow: ')
                while not ended.wait(0.05):
                    client.sendall(b'x')

        thread = threading.Thread(target=respond)
        thread.start()
        start = time.monotonic()
        error = post_to_webhook('HOOK', {})
        ended.set()
        thread.join(10)
    assert error == 'the webhook in HOOK failed: no response within 0.5 s'
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ('url', 'error'),
    [
        ('http://127.0.0.1:1/secret', 'no connection'),
        ('secret', 'its value is not a valid URL'),
        ('ftp://secret/', 'its value is not a valid URL'),
        ('http://[secret', 'its value is not a valid URL'),
    ],
)
def test_reports_unusable_url_without_printing_it(monkeypatch, url, error):
    monkeypatch.setenv('HOOK', url)
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    found = post_to_webhook('HOOK', {}, sleep=lambda _: None)
    assert found.startswith(f'the webhook in HOOK failed: {error}')
    assert 'secret' not in found


def test_reports_missing_variable(monkeypatch):
    monkeypatch.delenv('HOOK', raising=False)
    assert post_to_webhook('HOOK', {}) == (
        'the environment variable HOOK with the URL of the webhook is not set'
    )
