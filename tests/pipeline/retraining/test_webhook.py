"""The message to the webhook, and the errors of the webhook."""

import http.server
import json
import threading

import pytest
from example_record import record

from pipeline.config.recipe import Recipe
from pipeline.retraining import webhook
from pipeline.retraining.webhook import post_result
from pipeline.run.recording import Recording


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
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield listening
        listening.ended.set()
        listening.shutdown()
        thread.join()


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between attempts, in seconds; none of them is made."""
    seconds = []
    monkeypatch.setattr(webhook._post.retry, 'sleep', seconds.append)
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    return seconds


@pytest.fixture
def post(tmp_path, pauses):
    """Posts the record of a run that pushed its model, with changes; returns the recorded error."""

    def call(**changes):
        recording = Recording(tmp_path, record(**changes))
        recording.started = True
        post_result(Recipe(name='pets', retrain={'webhook_env': 'HOOK'}), recording)
        return recording.run.webhook_error

    return call


def test_posts_json_with_retries_after_server_errors(server, post, pauses):
    server.codes = [500, 503, 1]  # the body of the response is not read
    assert post(config={'name': 'pets'}) is None
    (path, message), *_ = server.received
    assert len(server.received) == 3
    assert (path, message['result'], message['version']) == ('/secret-token', 'blessed', '7')
    assert message['started'] == '2026-11-21T02:00:00Z'
    assert not {'config', 'metrics', 'verdict'} & set(message)
    assert pauses == [1, 2]


@pytest.mark.parametrize(
    'changes',
    [{'result': 'nothing new'}, {'result': 'skipped'}, {'result': 'interrupted', 'exit_code': 130}],
)
def test_posts_no_tick_without_news(server, post, changes):
    assert post(**changes) is None
    assert server.received == []


@pytest.mark.parametrize(
    ('code', 'attempts', 'error'),
    [
        (302, 1, 'status 302'),
        (404, 1, 'status 404'),
        (500, 3, 'status 500'),
        (0, 3, 'ReadTimeout'),
    ],
)
def test_error_is_recorded_without_the_url(server, post, monkeypatch, code, attempts, error):
    if code == 0:
        monkeypatch.setattr(webhook, '_TIMEOUT', 0.1)
    server.codes = [code] * 3
    assert post() == f'the webhook in HOOK failed: {error}'
    assert len(server.received) == attempts


@pytest.mark.parametrize(
    ('url', 'error'),
    [
        ('http://127.0.0.1:1/secret', 'the webhook in HOOK failed: ConnectionError'),
        ('secret', 'the webhook in HOOK failed: MissingSchema'),
        ('http://[secret', 'the webhook in HOOK failed: InvalidURL'),
        ('', 'the environment variable HOOK with the URL of the webhook is not set'),
    ],
)
def test_unusable_url_is_not_printed(post, monkeypatch, caplog, url, error):
    monkeypatch.setenv('HOOK', url)
    assert post() == error
    assert caplog.messages == [error]
