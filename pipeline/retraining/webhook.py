"""Posts the result of a tick to a URL."""

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import requests

_TIMEOUT = 10.0  # seconds, for the connection and for the response
_PAUSES = (1.0, 2.0)  # seconds before each retry
_LIMIT = 20.0  # seconds for all attempts


def post_to_webhook(
    variable: str, message: dict[str, Any], *, sleep: Callable[[float], None] = time.sleep
) -> str | None:
    """Posts a message as JSON, with retries after timeouts, lost connections and server errors.

    Gives up after 20 seconds in all.

    Args:
        variable: environment variable with the URL. Errors name the variable, since URLs of
            webhooks are secrets.
        message: values that JSON can represent.
        sleep: waits before a retry.

    Returns:
        The error as one sentence; None if the message was accepted.
    """
    url = os.environ.get(variable)
    if not url:
        return f'the environment variable {variable} with the URL of the webhook is not set'
    # A thread, since the timeout of requests starts again with each byte of a slow response.
    errors: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    post = threading.Thread(
        target=lambda: errors.put(_post_with_retries(url, message, sleep)), daemon=True
    )
    post.start()
    try:
        error = errors.get(timeout=_LIMIT)
    except queue.Empty:
        error = f'no response within {_LIMIT:g} s'
    return f'the webhook in {variable} failed: {error}' if error else None


def _post_with_retries(
    url: str, message: dict[str, Any], sleep: Callable[[float], None]
) -> str | None:
    error, retry = _post(url, message)
    for pause in _PAUSES:
        if not retry:
            break
        sleep(pause)
        error, retry = _post(url, message)
    return error


def _post(url: str, message: dict[str, Any]) -> tuple[str | None, bool]:
    """The error, and whether a retry may help."""
    try:
        # A redirect turns POST into GET and may send the message to another host.
        with requests.post(
            url, json=message, timeout=_TIMEOUT, allow_redirects=False, stream=True
        ) as response:
            code = response.status_code  # the body is not read
    except requests.Timeout:
        return f'no response within {_TIMEOUT:.0f} s', True
    except requests.ConnectionError:  # its message contains the URL
        return 'no connection', True
    except (requests.RequestException, ValueError, OSError) as error:
        return f'its value is not a valid URL ({type(error).__name__})', False
    if 300 <= code < 400:
        return f'status {code}, a redirect, which is not followed', False
    return (None, False) if code < 300 else (f'status {code}', code >= 500)
