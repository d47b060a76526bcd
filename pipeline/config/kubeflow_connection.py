"""The `kubeflow.connection:` section of a recipe. Imports neither kfp nor TFX.

A recipe holds no secrets, but the names of the environment variables that do.
"""

import os
import urllib.parse
from pathlib import Path

from pydantic import Field, field_validator

from common.errors import KubeflowError
from common.strict_model import StrictModel

_VARIABLE = r'^[A-Za-z_][A-Za-z0-9_]*$'


class ConnectionConfig(StrictModel):
    """Address, credentials and experiment of Kubeflow Pipelines."""

    host: str | None = Field(
        None,
        description='such as http://localhost:8080 or https://kubeflow.example.com/pipeline; '
        'default: KF_PIPELINES_ENDPOINT, else the cluster of this pod, else of ~/.kube/config',
    )
    namespace: str | None = Field(
        None, description='profile of the user; required if Kubeflow is multi-user'
    )
    token_env: str | None = Field(
        None, pattern=_VARIABLE, description='environment variable with a bearer token'
    )
    cookie_env: str | None = Field(
        None,
        pattern=_VARIABLE,
        description='environment variable with a cookie, name=value, for Dex',
    )
    verify_ssl: bool = Field(True, description="verify the server's certificate")
    ca_certificate: Path | None = Field(
        None, description='PEM file of the certificate authority; default: the public ones'
    )
    experiment: str = Field('Default', min_length=1, description='experiment of the runs')
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
            raise ValueError('input should begin with http:// or https:// and a host name')
        if parts.query or parts.fragment:
            raise ValueError('input should have no query and no fragment')
        if parts.username is not None or parts.password is not None:
            raise ValueError('input should have no user and no password; use token_env')
        return host.rstrip('/')

    def token(self) -> str | None:
        """Reads the bearer token; None without `token_env`.

        Raises:
            KubeflowError: the variable is not set, or is not a valid HTTP header.
        """
        return _secret('token_env', self.token_env)

    def cookie(self) -> str | None:
        """Reads the cookie; None without `cookie_env`.

        Raises:
            KubeflowError: as `token`, or the cookie is not of the form name=value.
        """
        cookie = _secret('cookie_env', self.cookie_env)
        if cookie is not None and '=' not in cookie:
            raise KubeflowError(
                f'cookie_env: ${self.cookie_env} is not a cookie; expected name=value, '
                f'such as authservice_session=...'
            )
        return cookie


def _secret(key: str, variable: str | None) -> str | None:
    if variable is None:
        return None
    secret = os.environ.get(variable, '').strip()
    if not secret:
        raise KubeflowError(f'{key}: the environment variable {variable} is not set')
    if not (secret.isascii() and secret.isprintable()):
        # The error of http.client would show the secret.
        raise KubeflowError(f'{key}: ${variable} has line breaks or non-ASCII characters')
    return secret
