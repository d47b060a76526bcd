"""What a URL is told, and what happens if it does not listen."""

import http.server
import json
import threading

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


@pytest.mark.parametrize('code', [302, 404])
def test_what_will_not_heal_is_tried_once(server, code):
    server.codes = [code]
    assert report('HOOK', {}) == f'the webhook in HOOK was not told: it answered {code}'
    assert len(server.heard) == 1


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
