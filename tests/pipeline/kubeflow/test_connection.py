"""Validation of host and secrets in `kubeflow.connection`."""

import pytest
from pydantic import ValidationError

from common.errors import KubeflowError
from pipeline.config.kubeflow_connection import ConnectionConfig


@pytest.mark.parametrize(
    ('host', 'message'),
    [
        ('localhost:8080', 'begin with http:// or https://'),
        ('https://', 'begin with http:// or https:// and a host name'),
        ('https://kubeflow.example.com/pipeline/#/runs', 'no query and no fragment'),
        ('https://me:secret@kubeflow.example.com', 'no user and no password; use token_env'),
    ],
)
def test_rejects_invalid_host(host, message):
    with pytest.raises(ValidationError, match=message):
        ConnectionConfig(host=host)


def test_strips_trailing_slash_of_host():
    assert ConnectionConfig(host='http://a:80/pipeline/').host == 'http://a:80/pipeline'


def test_rejects_secret_as_variable_name():
    with pytest.raises(ValidationError, match='token_env'):
        ConnectionConfig(token_env='eyJhbGciOi.J9-x')


def test_secrets_default_to_none():
    config = ConnectionConfig()

    assert (config.token(), config.cookie()) == (None, None)


@pytest.mark.parametrize('value', [None, '', ' \n'])
def test_reports_unset_variable(monkeypatch, value):
    monkeypatch.delenv('TOKEN', raising=False)
    if value is not None:
        monkeypatch.setenv('TOKEN', value)

    with pytest.raises(KubeflowError, match=r'^token_env: the environment variable TOKEN is not'):
        ConnectionConfig(token_env='TOKEN').token()


@pytest.mark.parametrize('secret', ['abc\ndef', 'abc\x00', 'gehäim'])
def test_invalid_token_is_not_printed(monkeypatch, secret):
    monkeypatch.setattr('os.environ', {'TOKEN': secret})

    with pytest.raises(KubeflowError, match=r'\$TOKEN has line breaks or') as error:
        ConnectionConfig(token_env='TOKEN').token()
    assert secret not in str(error.value)


def test_invalid_cookie_is_not_printed(monkeypatch):
    monkeypatch.setenv('COOKIE', 'xyz789')

    with pytest.raises(KubeflowError, match=r'\$COOKIE is not a cookie; expected name=value') as e:
        ConnectionConfig(cookie_env='COOKIE').cookie()
    assert 'xyz789' not in str(e.value)
