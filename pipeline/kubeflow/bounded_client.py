"""kfp's client with time-outs, and with one sentence for every request that fails.

Only `client.py` imports this, when it connects: it is the one module that imports kfp.
"""

import json
import re
from typing import Any

import kfp
import urllib3
from kfp_server_api import ApiException
from kfp_server_api.rest import RESTClientObject
from urllib3 import exceptions

from common.errors import KubeflowError

CONNECT_SECONDS, ANSWER_SECONDS = 5.0, 30.0
_LONGEST_MESSAGE = 300
_SHORTEST_SECRET = 6  # '1' of a cookie would be found in every address


class BoundedClient(kfp.Client):
    """The client of the kfp that is installed; it works alike with kfp 2.13 and 2.17."""

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
        """Asks once. The constructor calls this as its first request, where there is no namespace.

        kfp's own asks five times with five seconds between them, and like all its requests
        without any time-out; it cannot be given one.
        """
        api = self._healthz_api.api_client
        if not isinstance(api.rest_client, _BoundedRequests):
            api.rest_client = _BoundedRequests(api)
        return self._healthz_api.healthz_service_get_healthz()


class _BoundedRequests(RESTClientObject):
    """What the generated API sends its requests with. Raises nothing but KubeflowError."""

    def __init__(self, api: Any) -> None:
        # A person tries again by himself; urllib3 would three times, with a warning each.
        api.configuration.retries = urllib3.Retry(connect=0, read=0, other=0, redirect=5)
        super().__init__(api.configuration)
        self._api = api

    def request(self, method: str, url: str, **options: Any) -> Any:
        options['_request_timeout'] = (CONNECT_SECONDS, ANSWER_SECONDS)
        host = self._api.configuration.host
        try:
            response = super().request(method, url, **options)
        except ApiException as error:
            sentence = f'{host} {self._refusal(error)}'
        except exceptions.HTTPError as error:
            sentence = f'{host} does not answer: {_silence(error)}'
        else:
            if _parsed(response.data) is not None:
                return response
            sentence = (
                f'{host} answers with {_shown(response.data)} instead of JSON: a login page, '
                f'or not the address of the API; {self._sent()}'
            )
        # What kfp's exceptions say beyond that are headers, which nobody should find in a log.
        raise KubeflowError(self._without_secrets(sentence))

    def _refusal(self, error: ApiException) -> str:
        said = _shown(error.body)
        if error.status in (401, 403):
            return f'refuses ({error.status}): {self._sent()}; it says {said}'
        if error.status == 404 and 'code' not in (_parsed(error.body) or {}):
            return (
                'is no endpoint of Kubeflow Pipelines 2 (404); behind the dashboard of Kubeflow '
                'its address ends in /pipeline'
            )
        return f'fails ({error.status}): it says {said}'

    def _secrets(self) -> dict[str, str | None]:
        token = self._api.configuration.api_key.get('authorization')
        return {'token': token, 'cookie': self._api.cookie}

    def _sent(self) -> str:
        parts = [f'{"a" if value else "no"} {name}' for name, value in self._secrets().items()]
        return f'{" and ".join(parts)} was sent'

    def _without_secrets(self, text: str) -> str:
        cookies = [pair.partition('=')[2] for pair in (self._api.cookie or '').split(';')]
        for secret in (*self._secrets().values(), *cookies):
            if secret and len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, '***')
        return text


def _parsed(body: bytes | None) -> dict[str, Any] | None:
    """What every answer of the API is, an object of JSON; None for anything else."""
    try:
        parsed = json.loads(body or b'')
    except ValueError:  # UnicodeDecodeError is one
        return None
    return parsed if isinstance(parsed, dict) else None


def _shown(body: bytes | None) -> str:
    """The server's own message, or the title of its page, on one line."""
    parsed = _parsed(body)
    text = (body or b'').decode('utf-8', 'replace')
    if parsed is not None:
        text = str(parsed.get('message') or parsed.get('error') or text)
    elif text.lstrip().startswith('<'):
        title = re.search(r'<title[^>]*>([^<]*)', text, re.IGNORECASE)
        text = f'a web page titled {" ".join(title[1].split())!r}' if title else 'a web page'
    text = ' '.join(text.split())
    return f'{text[:_LONGEST_MESSAGE]}...' if len(text) > _LONGEST_MESSAGE else text or 'nothing'


def _silence(error: exceptions.HTTPError) -> str:
    """Why there was no answer at all."""
    reason = getattr(error, 'reason', None) or error
    if isinstance(reason, exceptions.NameResolutionError):
        return 'its name is not known here (DNS)'
    if isinstance(reason, exceptions.ReadTimeoutError):
        return f'nothing came within {ANSWER_SECONDS:g} seconds'
    if isinstance(reason, exceptions.SSLError):
        return f'TLS failed ({reason}); give ca_certificate, or http:// where it has no TLS'
    # NewConnectionError, of a refused one, is a ConnectTimeoutError too.
    if type(reason) is exceptions.ConnectTimeoutError:
        return f'no connection within {CONNECT_SECONDS:g} seconds'
    said = re.sub(r'\[Errno -?\d+\] ', '', str(reason)).rpartition(': ')[2]
    return ' '.join(said.split()) or type(reason).__name__
