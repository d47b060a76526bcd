"""Posts the record of a tick to a URL."""

import logging
import os
from typing import Any

import requests
import tenacity

from common.errors import INTERRUPTED
from pipeline.config.recipe import Recipe
from pipeline.run.recording import Recording

_SILENT = ('nothing new', 'skipped')  # results that are not posted
_TIMEOUT = 5.0  # seconds, for the connection and for the response
_LEFT_OUT = {'config', 'metrics', 'gate', 'nodes', 'cached', 'webhook_error'}

_log = logging.getLogger(__name__)


def post_result(recipe: Recipe, record: Recording) -> None:
    """Posts the record of a run as JSON to the webhook of the recipe, if it has one.

    Makes three attempts after timeouts, lost connections and server errors; then the error is a
    warning, and recorded. URLs of webhooks are secrets: the recipe names an environment variable,
    and errors name only this one.
    """
    variable, run = recipe.retrain.webhook_env, record.run
    if variable is None or run.result in _SILENT or run.exit_code == INTERRUPTED:
        return
    problem = f'the environment variable {variable} with the URL of the webhook is not set'
    try:
        if url := os.environ.get(variable):
            _post(url, run.model_dump(mode='json', exclude=_LEFT_OUT))
            return
    except (requests.RequestException, ValueError, OSError) as error:  # their texts have the URL
        known = isinstance(error, requests.HTTPError)
        problem = f'the webhook in {variable} failed: {error if known else type(error).__name__}'
    _log.warning(problem)
    record.add(webhook_error=problem)


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
