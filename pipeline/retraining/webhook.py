"""Posts the record of a tick to a URL."""

import os
from typing import Any

import requests
import tenacity

from common.errors import INTERRUPTED
from pipeline.config.recipe import Recipe
from pipeline.run.record import Run

_SILENT = ('nothing new', 'skipped')  # results that are not posted
_TIMEOUT = 5.0  # seconds, for the connection and for the response
_LEFT_OUT = {'config', 'metrics', 'verdict', 'nodes', 'cached', 'webhook_error'}


def post_result(recipe: Recipe, run: Run) -> str | None:
    """Posts the record of a run as JSON to the webhook of the recipe, if it has one.

    Makes three attempts after timeouts, lost connections and server errors. URLs of webhooks are
    secrets: the recipe names an environment variable, and errors name only this one.

    Returns:
        The error as one sentence; None if the record was accepted, or is not posted.
    """
    variable = recipe.retrain.webhook_env
    if variable is None or run.result in _SILENT or run.exit_code == INTERRUPTED:
        return None
    url = os.environ.get(variable)
    if not url:
        return f'the environment variable {variable} with the URL of the webhook is not set'
    try:
        _post(url, run.model_dump(mode='json', exclude=_LEFT_OUT))
    except (requests.RequestException, ValueError, OSError) as error:  # their texts have the URL
        known = isinstance(error, requests.HTTPError)
        return f'the webhook in {variable} failed: {error if known else type(error).__name__}'
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
    # A redirect turns POST into GET and may send the message to another host. The body is not read.
    with requests.post(
        url, json=message, timeout=_TIMEOUT, allow_redirects=False, stream=True
    ) as response:
        if not 200 <= response.status_code < 300:
            raise requests.HTTPError(f'status {response.status_code}', response=response)
