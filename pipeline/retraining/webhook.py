"""Posts the result of a tick to a URL."""

import os
import queue
import threading
from typing import Any

import requests
import tenacity

_TIMEOUT = 10.0  # seconds, for the connection and for the response
_LIMIT = 20.0  # seconds for all attempts


def post_to_webhook(variable: str, message: dict[str, Any]) -> str | None:
    """Posts a message as JSON, with retries after timeouts, lost connections and server errors.

    Gives up after 20 seconds in all. URLs of webhooks are secrets: `variable` is an environment
    variable with the URL, and errors name only the variable.

    Returns:
        The error as one sentence; None if the message was accepted.
    """
    url = os.environ.get(variable)
    if not url:
        return f'the environment variable {variable} with the URL of the webhook is not set'
    # A thread, since the timeout of requests starts again with each byte of a slow response.
    errors: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=lambda: errors.put(_error_of(url, message)), daemon=True).start()
    try:
        error = errors.get(timeout=_LIMIT)
    except queue.Empty:
        error = f'no response within {_LIMIT:g} s'
    return f'the webhook in {variable} failed: {error}' if error else None


def _error_of(url: str, message: dict[str, Any]) -> str | None:
    """The error of the last attempt, without the URL, which the messages of requests contain."""
    try:
        _post(url, message)
    except requests.HTTPError as error:
        return str(error)
    except (requests.RequestException, ValueError, OSError) as error:
        return type(error).__name__
    return None


def _is_temporary(error: BaseException) -> bool:
    if isinstance(error, requests.HTTPError):
        return error.response.status_code >= 500
    return isinstance(error, requests.Timeout | requests.ConnectionError)


@tenacity.retry(
    retry=tenacity.retry_if_exception(_is_temporary),
    wait=tenacity.wait_exponential(),  # 1 and 2 seconds
    stop=tenacity.stop_after_attempt(3),
    reraise=True,
)
def _post(url: str, message: dict[str, Any]) -> None:
    # A redirect turns POST into GET and may send the message to another host.
    with requests.post(
        url, json=message, timeout=_TIMEOUT, allow_redirects=False, stream=True
    ) as response:  # the body is not read
        if not 200 <= response.status_code < 300:
            raise requests.HTTPError(f'status {response.status_code}', response=response)
