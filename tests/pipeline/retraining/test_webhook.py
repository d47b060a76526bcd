"""The message to the webhook, and the errors of the webhook."""

import io

import pytest
import requests
from example_record import record

from pipeline.config.recipe import Recipe
from pipeline.retraining import webhook
from pipeline.retraining.webhook import post_result
from pipeline.run.recording import Recording

SECRET = 'http://host/secret-token'


@pytest.fixture
def post(tmp_path, monkeypatch):
    """`post(500, 200)`: posts a record to a server with these status codes, or errors.

    Returns the recorded error, the requests, and the pauses between them, which are not made.
    """
    pauses = []
    monkeypatch.setattr(webhook._post.retry, 'sleep', pauses.append)
    monkeypatch.setenv('HOOK', SECRET)

    def call(*answers, **changes):
        sent = []

        def respond(url, **options):
            sent.append({'url': url, **options})
            answer = answers[len(sent) - 1]
            if isinstance(answer, Exception):
                raise answer
            response = requests.Response()
            response.status_code, response.raw = answer, io.BytesIO()
            return response

        monkeypatch.setattr(requests, 'post', respond)
        recording = Recording(tmp_path, record(**changes))
        post_result(Recipe(name='pets', retrain={'webhook_env': 'HOOK'}), recording)
        return recording.run.webhook_error, sent, pauses

    return call


def test_posts_json_with_retries_after_temporary_errors(post):
    error, (request, *others), pauses = post(
        500, requests.ReadTimeout(SECRET), 204, config={'a': 1}
    )
    assert (error, len(others), pauses) == (None, 2, [1, 2])
    assert (request['url'], request['timeout'], request['allow_redirects']) == (SECRET, 5.0, False)
    message = request['json']
    assert (message['result'], message['version']) == ('blessed', '7')
    assert message['started'] == '2026-11-21T02:00:00Z'
    assert not {'config', 'metrics', 'gate'} & set(message)


@pytest.mark.parametrize(
    'changes',
    [{'result': 'nothing new'}, {'result': 'skipped'}, {'result': 'interrupted', 'exit_code': 130}],
)
def test_posts_no_tick_without_news(post, changes):
    assert post(**changes) == (None, [], [])


@pytest.mark.parametrize(
    ('answer', 'attempts', 'error'),
    [
        (302, 1, 'the webhook in HOOK failed: status 302'),
        (503, 3, 'the webhook in HOOK failed: status 503'),
        (requests.ConnectionError(SECRET), 3, 'the webhook in HOOK failed: ConnectionError'),
        (requests.exceptions.InvalidURL(SECRET), 1, 'the webhook in HOOK failed: InvalidURL'),
        (ValueError(SECRET), 1, 'the webhook in HOOK failed: ValueError'),
        (None, 0, 'the environment variable HOOK with the URL of the webhook is not set'),
    ],
)
def test_error_is_recorded_and_logged_without_the_url(
    post, monkeypatch, caplog, answer, attempts, error
):
    if answer is None:
        monkeypatch.delenv('HOOK')
    text, sent, _ = post(*[answer] * 3)
    assert text == error
    assert len(sent) == attempts
    assert caplog.messages == [text]
