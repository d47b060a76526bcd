"""The message to the webhook, and the errors of the webhook."""

import http.server
import json
import threading

import pytest
from example_record import record

from pipeline.config.recipe import Recipe
from pipeline.retraining import webhook
from pipeline.retraining.webhook import post_result


class Handler(http.server.BaseHTTPRequestHandler):
    """Responds with the status codes of the server, one after the other, then 200.

    With status 0 it sends no complete response, with status 1 no body, until the test has ended.
    """

    def do_POST(self):
        body = self.rfile.read(int(self.headers['Content-Length']))
        self.server.received.append((self.path, json.loads(body)))
        code = self.server.codes.pop(0) if self.server.codes else 200
        if code < 2:
            self.wfile.write([b'HTTP/1.1 ', b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n'][code])
            self.server.ended.wait()
            return
        self.send_response(code)
        if code == 302:
            self.send_header('Location', '/elsewhere')
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as listening:
        listening.received, listening.codes, listening.ended = [], [], threading.Event()
        monkeypatch.setenv('HOOK', f'http://127.0.0.1:{listening.server_port}/secret-token')
        monkeypatch.setenv('NO_PROXY', '127.0.0.1')
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield listening
        listening.ended.set()
        listening.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """The pauses between attempts, in seconds; none of them is made."""
    seconds = []
    monkeypatch.setattr(webhook._post.retry, 'sleep', seconds.append)
    return seconds


def post(**changes):
    recipe = Recipe(name='pets', retrain={'webhook_env': 'HOOK'})
    return post_result(recipe, record(**changes))


def test_posts_json_with_retries_after_server_errors(server, pauses):
    server.codes = [500, 503]
    assert post() is None
    (path, message), *_ = server.received
    assert len(server.received) == 3
    assert (path, message['result'], message['version']) == ('/secret-token', 'blessed', '7')
    assert pauses == [1, 2]


@pytest.mark.parametrize(
    'changes',
    [{'result': 'nothing new'}, {'result': 'skipped'}, {'result': 'interrupted', 'exit_code': 130}],
)
def test_posts_no_tick_without_news(server, changes):
    assert post(**changes) is None
    assert server.received == []


@pytest.mark.parametrize(('code', 'attempts'), [(302, 1), (404, 1), (500, 3)])
def test_reports_status_without_the_url(server, code, attempts):
    server.codes = [code] * 3
    assert post() == f'the webhook in HOOK failed: status {code}'
    assert len(server.received) == attempts


def test_does_not_read_the_body_of_the_response(server):
    server.codes = [1]
    assert post() is None


def test_limits_the_time_of_an_attempt(server, monkeypatch, pauses):
    monkeypatch.setattr(webhook, '_TIMEOUT', 0.1)
    server.codes = [0, 0, 0]
    assert post() == 'the webhook in HOOK failed: ReadTimeout'
    assert len(pauses) == 2


@pytest.mark.parametrize(
    ('url', 'error'),
    [
        ('http://127.0.0.1:1/secret', 'ConnectionError'),
        ('secret', 'MissingSchema'),
        ('http://[secret', 'InvalidURL'),
    ],
)
def test_reports_unusable_url_without_printing_it(monkeypatch, url, error):
    monkeypatch.setenv('HOOK', url)
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    assert post() == f'the webhook in HOOK failed: {error}'


def test_reports_missing_variable(monkeypatch):
    monkeypatch.delenv('HOOK', raising=False)
    assert 'variable HOOK with the URL of the webhook is not set' in post()
