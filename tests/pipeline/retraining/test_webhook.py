"""What a URL is told, and what happens if it does not listen."""

import contextlib
import http.server
import json
import socket
import threading
import time

import pytest

from pipeline.retraining import webhook
from pipeline.retraining.webhook import report


class Listener(http.server.BaseHTTPRequestHandler):
    """Answers with the codes of the server, one after the other, then 200."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.server.heard.append((self.path, json.loads(body)))
        code = self.server.codes.pop(0) if self.server.codes else 200
        self.send_response(code)
        if code == 302:
            self.send_header('Location', '/elsewhere')
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with http.server.HTTPServer(('127.0.0.1', 0), Listener) as listening:
        listening.heard, listening.codes = [], []
        monkeypatch.setenv('HOOK', f'http://127.0.0.1:{listening.server_port}/secret-token')
        monkeypatch.setenv('NO_PROXY', '127.0.0.1')
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield listening
        listening.shutdown()
        thread.join(10)


def test_it_is_told_as_json(server):
    assert report('HOOK', {'verdict': 'failed', 'spans': [1]}) is None
    assert server.heard == [('/secret-token', {'verdict': 'failed', 'spans': [1]})]


def test_a_server_that_is_ill_is_told_twice_more(server):
    pauses = []
    server.codes = [500, 503]
    assert report('HOOK', {}, sleep=pauses.append) is None
    assert (len(server.heard), pauses) == (3, [1, 2])


def test_a_server_that_stays_ill_is_reported_without_the_url(server):
    server.codes = [500] * 3
    problem = report('HOOK', {}, sleep=lambda _: None)
    assert problem == 'the webhook in HOOK was not told: it answered 500'
    assert len(server.heard) == 3


@pytest.mark.parametrize(
    ('code', 'words'),
    [
        (302, 'it redirects (302), which is not followed'),
        (304, 'it redirects (304), which is not followed'),
        (404, 'it answered 404'),
    ],
)
def test_what_will_not_heal_is_tried_once(server, code, words):
    server.codes = [code]
    assert report('HOOK', {}) == f'the webhook in HOOK was not told: {words}'
    assert len(server.heard) == 1


@pytest.fixture
def trickle(monkeypatch):
    """`trickle(b'HTTP/1.1 200 OK')`: a server that says that, and then a byte now and then."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        monkeypatch.setenv('HOOK', f'http://127.0.0.1:{server.getsockname()[1]}')
        monkeypatch.setenv('NO_PROXY', '127.0.0.1')
        ended = threading.Event()

        def serve(head):
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):
                client.recv(2**16)
                client.sendall(head)
                while not ended.wait(0.05):
                    client.sendall(b'x')

        def start(head):
            thread = threading.Thread(target=serve, args=(head,))
            threads.append(thread)
            thread.start()

        threads = []
        yield start
        ended.set()
        for thread in threads:
            thread.join(10)


def test_the_body_of_an_answer_is_not_waited_for(trickle):
    trickle(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n')
    start = time.monotonic()
    assert report('HOOK', {}) is None
    assert time.monotonic() - start < 2


def test_an_answer_that_never_comes_to_its_status_is_given_up(trickle, monkeypatch):
    monkeypatch.setattr(webhook, '_TIMEOUT', 0.2)
    monkeypatch.setattr(webhook, '_PAUSES', ())
    trickle(b'HTTP/1.1 200 OK\r\nX-Slow: ')
    start = time.monotonic()
    assert 'no answer within' in report('HOOK', {})
    assert time.monotonic() - start < 2


def test_a_server_that_is_not_there_is_reported_without_the_url(server, monkeypatch):
    monkeypatch.setenv('HOOK', 'http://127.0.0.1:1/secret-token')
    problem = report('HOOK', {}, sleep=lambda _: None)
    assert problem == 'the webhook in HOOK was not told: nothing answers there'


def test_a_server_that_does_not_answer_is_given_up(monkeypatch):
    monkeypatch.setattr(webhook, '_TIMEOUT', 0.1)
    with http.server.HTTPServer(('127.0.0.1', 0), Listener) as silent:  # it never serves
        monkeypatch.setenv('HOOK', f'http://127.0.0.1:{silent.server_port}')
        monkeypatch.setenv('NO_PROXY', '127.0.0.1')
        assert 'no answer within' in report('HOOK', {}, sleep=lambda _: None)


@pytest.mark.parametrize('url', ['secret', 'ftp://secret/', 'http://[secret'])
def test_something_that_is_no_url_is_reported_without_it(monkeypatch, url):
    monkeypatch.setenv('HOOK', url)
    problem = report('HOOK', {})
    assert problem.startswith('the webhook in HOOK was not told: that is not a URL one can post to')
    assert 'secret' not in problem


def test_a_variable_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv('HOOK', raising=False)
    assert report('HOOK', {}) == (
        'the environment variable HOOK, with the URL of the webhook, is not set'
    )
