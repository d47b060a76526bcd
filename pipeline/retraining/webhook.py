"""Tells a URL how a tick ended."""

import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import requests

_TIMEOUT = 10.0  # seconds, for the connection, and for each piece of the answer
_PAUSES = (1.0, 2.0)  # seconds before each of the two retries


def report(
    variable: str, message: dict[str, Any], *, sleep: Callable[[float], None] = time.sleep
) -> str | None:
    """Posts a message as JSON to the URL in an environment variable.

    Args:
        variable: its name, which stands for the URL in what is said: URLs hold secrets.
        message: what to tell.
        sleep: waits before another try, where one may help.

    Returns:
        What went wrong, as a sentence; None if it was taken.
    """
    url = os.environ.get(variable)
    if not url:
        return f'the environment variable {variable}, with the URL of the webhook, is not set'
    problem, may_heal = _post(url, message)
    for pause in _PAUSES:
        if not may_heal:
            break
        sleep(pause)
        problem, may_heal = _post(url, message)
    return f'the webhook in {variable} was not told: {problem}' if problem else None


def _post(url: str, message: dict[str, Any]) -> tuple[str | None, bool]:
    """The problem, and whether another try may help.

    Waits beside a thread: for requests, each byte that trickles in begins its timeout again.
    """
    ends: queue.SimpleQueue[tuple[str | None, bool]] = queue.SimpleQueue()
    threading.Thread(target=lambda: ends.put(_status(url, message)), daemon=True).start()
    try:
        return ends.get(timeout=2 * _TIMEOUT)
    except queue.Empty:
        return f'no answer within {2 * _TIMEOUT:.0f} s', True


def _status(url: str, message: dict[str, Any]) -> tuple[str | None, bool]:
    try:
        # A redirect would turn the POST into a GET and could carry the secret elsewhere.
        with requests.post(
            url, json=message, timeout=_TIMEOUT, allow_redirects=False, stream=True
        ) as answer:
            code = answer.status_code  # the rest is not read
    except requests.Timeout:
        return f'no answer within {_TIMEOUT:.0f} s', True
    except requests.ConnectionError:  # the text of these names the URL
        return 'nothing answers there', True
    except (requests.RequestException, ValueError, OSError) as error:
        return f'that is not a URL one can post to ({type(error).__name__})', False
    if 300 <= code < 400:
        return f'it redirects ({code}), which is not followed', False
    return (None, False) if code < 300 else (f'it answered {code}', code >= 500)
