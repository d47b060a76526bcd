"""How to reach Kubeflow Pipelines: a part of a recipe. Imports neither kfp nor TFX.

Secrets never stand in a recipe: it names the environment variables that hold them.
"""

import os
import urllib.parse
from pathlib import Path

from pydantic import Field, field_validator

from common.errors import KubeflowError
from common.strict_model import StrictModel

_VARIABLE = r'^[A-Za-z_][A-Za-z0-9_]*$'


class ConnectionConfig(StrictModel):
    """Where Kubeflow Pipelines is, and what it wants to see of us."""

    host: str | None = Field(
        None,
        description='as in http://localhost:8080, or https://kubeflow.example.com/pipeline; none: '
        'KF_PIPELINES_ENDPOINT, else the cluster that this runs in, else that of ~/.kube/config',
    )
    namespace: str | None = Field(
        None, description='the profile, where Kubeflow has several users; none: it has one'
    )
    token_env: str | None = Field(
        None, pattern=_VARIABLE, description='environment variable that holds a bearer token'
    )
    cookie_env: str | None = Field(
        None, pattern=_VARIABLE, description='the same for name=value of a cookie, as Dex wants it'
    )
    verify_ssl: bool = Field(True, description="whether the server's certificate is verified")
    ca_certificate: Path | None = Field(
        None, description='PEM file of who signed it; none: the well-known ones'
    )
    experiment: str = Field('Default', min_length=1, description='groups the runs in Kubeflow')
    cron_timezone: str = Field(
        'UTC', description='time zone of all schedules in the cluster: its CRON_SCHEDULE_TIMEZONE'
    )

    @field_validator('host')
    @classmethod
    def _is_an_address(cls, host: str | None) -> str | None:
        if host is None:
            return None
        parts = urllib.parse.urlsplit(host)
        if parts.scheme not in ('http', 'https') or not parts.hostname:
            raise ValueError('input should begin with http:// or https:// and a name')
        if parts.query or parts.fragment:
            raise ValueError('input should end before any ? or #')
        if parts.username is not None or parts.password is not None:
            raise ValueError('input should hold no user and no password; use token_env')
        return host.rstrip('/')

    def token(self) -> str | None:
        """The bearer token, if there is to be one.

        Raises:
            KubeflowError: the variable is not set, or holds what no header can.
        """
        return _secret('token_env', self.token_env)

    def cookie(self) -> str | None:
        """The cookie, as `name=value`, if there is to be one.

        Raises:
            KubeflowError: as for `token`, or it is not of that form.
        """
        cookie = _secret('cookie_env', self.cookie_env)
        if cookie is not None and '=' not in cookie:
            raise KubeflowError(
                f'cookie_env: ${self.cookie_env} holds no cookie; expected name=value, '
                f'as in authservice_session=...'
            )
        return cookie


def _secret(key: str, variable: str | None) -> str | None:
    if variable is None:
        return None
    secret = os.environ.get(variable, '').strip()
    if not secret:
        raise KubeflowError(f'{key}: the environment variable {variable} is not set')
    if not (secret.isascii() and secret.isprintable()):
        # http.client would refuse it too, and show it while doing so.
        raise KubeflowError(f'{key}: ${variable} holds line breaks or other than ASCII characters')
    return secret
