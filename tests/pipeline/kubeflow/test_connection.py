"""Validation of host and secrets in `kubeflow.connection`."""

import pytest
from pydantic import ValidationError

from common.errors import KubeflowError
from pipeline.config.kubeflow import ConnectionConfig


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('host', 'localhost:8080', 'begin with http:// or https://'),
        ('host', 'https://', 'begin with http:// or https:// and a host name'),
        ('host', 'https://kubeflow.example.com/pipeline/#/runs', 'no query and no fragment'),
        ('host', 'https://me:secret@kubeflow.example.com', 'no user and no password; use token_'),
        ('token_env', 'eyJhbGciOi.J9-x', 'token_env'),
    ],
)
def test_rejects_invalid_value(key, value, message):
    with pytest.raises(ValidationError, match=message):
        ConnectionConfig(**{key: value})


def test_strips_trailing_slash_of_host():
    assert ConnectionConfig(host='http://a:80/pipeline/').host == 'http://a:80/pipeline'


@pytest.mark.parametrize('value', [None, '', ' \n'])
def test_reports_unset_variable(monkeypatch, value):
    monkeypatch.setattr('os.environ', {} if value is None else {'TOKEN': value})

    with pytest.raises(KubeflowError, match=r'^token_env: the environment variable TOKEN is not'):
        ConnectionConfig(token_env='TOKEN').token()


@pytest.mark.parametrize(
    ('key', 'secret', 'message'),
    [
        ('token', 'abc\ndef', r'\$NAME has line breaks or'),
        ('token', 'gehäim', r'\$NAME has line breaks or'),
        ('cookie', 'xyz789', r'\$NAME is not a cookie; expected name=value'),
    ],
)
def test_invalid_secret_is_not_printed(monkeypatch, key, secret, message):
    monkeypatch.setattr('os.environ', {'NAME': secret})

    with pytest.raises(KubeflowError, match=message) as error:
        getattr(ConnectionConfig(**{f'{key}_env': 'NAME'}), key)()
    assert secret not in str(error.value)
