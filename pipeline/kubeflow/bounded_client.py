"""kfp's client with timeouts, and with failed requests as KubeflowError.

Imports kfp, so `client.py` imports this module only when it connects.
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

CONNECT_SECONDS, READ_SECONDS = 5.0, 30.0
_MAX_MESSAGE_LENGTH = 300
_MIN_SECRET_LENGTH = 6  # a cookie value such as '1' occurs in every address


class BoundedClient(kfp.Client):
    """kfp.Client with timeouts; works with kfp 2.13 and 2.17."""

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
        """Requests the health check once; without a namespace the constructor calls it first.

        kfp's own method retries five times, five seconds apart, without a timeout. Like all
        requests of kfp.Client it takes none as an argument.
        """
        api = self._healthz_api.api_client
        if not isinstance(api.rest_client, _BoundedRequests):
            api.rest_client = _BoundedRequests(api)
        return self._healthz_api.healthz_service_get_healthz()


class _BoundedRequests(RESTClientObject):
    """REST client of the generated API; raises only KubeflowError."""

    def __init__(self, api: Any) -> None:
        # By default urllib3 retries three times, with a warning each.
        api.configuration.retries = urllib3.Retry(connect=0, read=0, other=0, redirect=5)
        super().__init__(api.configuration)
        self._api = api

    def request(self, method: str, url: str, **options: Any) -> Any:
        options['_request_timeout'] = (CONNECT_SECONDS, READ_SECONDS)
        host = self._api.configuration.host
        try:
            response = super().request(method, url, **options)
        except ApiException as error:
            message = f'{host} {self._describe_status(error)}'
        except exceptions.HTTPError as error:
            message = f'{host} does not respond: {_describe_failure(error)}'
        else:
            if _parse_object(response.data) is not None:
                return response
            message = (
                f'{host} returned {_summarize(response.data)} instead of JSON: a login page, or '
                f'not the address of the API; {self._credentials()}'
            )
        # The exceptions of kfp also contain headers, which do not belong in a log.
        raise KubeflowError(self._without_secrets(message))

    def _describe_status(self, error: ApiException) -> str:
        summary = _summarize(error.body)
        if error.status in (401, 403):
            return f'denied access ({error.status}): {self._credentials()}; response: {summary}'
        if error.status == 404 and 'code' not in (_parse_object(error.body) or {}):
            return (
                'is not an endpoint of Kubeflow Pipelines 2 (404); behind the dashboard of '
                'Kubeflow the address ends in /pipeline'
            )
        return f'failed ({error.status}); response: {summary}'

    def _secrets(self) -> dict[str, str | None]:
        token = self._api.configuration.api_key.get('authorization')
        return {'token': token, 'cookie': self._api.cookie}

    def _credentials(self) -> str:
        sent = [name for name, value in self._secrets().items() if value]
        return f'the request had {" and ".join(sent) or "no token and no cookie"}'

    def _without_secrets(self, text: str) -> str:
        cookies = [pair.partition('=')[2] for pair in (self._api.cookie or '').split(';')]
        for secret in (*self._secrets().values(), *cookies):
            if secret and len(secret) >= _MIN_SECRET_LENGTH:
                text = text.replace(secret, '***')
        return text


def _parse_object(body: bytes | None) -> dict[str, Any] | None:
    """Parses a JSON object, as in every response of the API; None for any other body."""
    try:
        parsed = json.loads(body or b'')
    except ValueError:  # UnicodeDecodeError is one
        return None
    return parsed if isinstance(parsed, dict) else None


def _summarize(body: bytes | None) -> str:
    """Formats the server's message, or the title of its web page, on one line."""
    parsed = _parse_object(body)
    text = (body or b'').decode('utf-8', 'replace')
    if parsed is not None:
        text = str(parsed.get('message') or parsed.get('error') or text)
    elif text.lstrip().startswith('<'):
        title = re.search(r'<title[^>]*>([^<]*)', text, re.IGNORECASE)
        text = f'a web page titled {" ".join(title[1].split())!r}' if title else 'a web page'
    text = ' '.join(text.split())
    if len(text) > _MAX_MESSAGE_LENGTH:
        return f'{text[:_MAX_MESSAGE_LENGTH]}...'
    return text or 'empty'


def _describe_failure(error: exceptions.HTTPError) -> str:
    """Formats the reason why there was no response."""
    reason = getattr(error, 'reason', None) or error
    if isinstance(reason, exceptions.NameResolutionError):
        return 'the host name cannot be resolved'
    if isinstance(reason, exceptions.ReadTimeoutError):
        return f'no data within {READ_SECONDS:g} seconds'
    if isinstance(reason, exceptions.SSLError):
        return f'TLS failed ({reason}); set ca_certificate, or use http:// without TLS'
    # NewConnectionError (connection refused) is a subclass.
    if type(reason) is exceptions.ConnectTimeoutError:
        return f'no connection within {CONNECT_SECONDS:g} seconds'
    text = re.sub(r'\[Errno -?\d+\] ', '', str(reason)).rpartition(': ')[2]
    return ' '.join(text.split()) or type(reason).__name__
