"""Tells a URL how a tick ended."""

import os
import time
from collections.abc import Callable
from typing import Any

import requests

_TIMEOUT = 10.0  # seconds, for the connection and for the answer
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
    """The problem, and whether another try may help."""
    try:
        # A redirect would turn the POST into a GET and could carry the secret elsewhere.
        answer = requests.post(url, json=message, timeout=_TIMEOUT, allow_redirects=False)
    except requests.Timeout:
        return f'no answer within {_TIMEOUT:.0f} s', True
    except requests.ConnectionError:  # the text of these names the URL
        return 'nothing answers there', True
    except (requests.RequestException, ValueError, OSError) as error:
        return f'that is not a URL one can post to ({type(error).__name__})', False
    if answer.ok and not answer.is_redirect:
        return None, False
    return f'it answered {answer.status_code}', answer.status_code >= 500
