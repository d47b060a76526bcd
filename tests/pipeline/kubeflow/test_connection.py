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


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (None, r'^token_env: the environment variable TOKEN is not set'),
        (' \n', r'^token_env: the environment variable TOKEN is not set'),
        ('abc\ndef', r'^token_env: \$TOKEN has line breaks or'),
        ('gehäim', r'^token_env: \$TOKEN has line breaks or'),
    ],
)
def test_unusable_secret_is_reported_and_not_printed(monkeypatch, value, message):
    monkeypatch.setattr('os.environ', {'TOKEN': value} if value else {})

    with pytest.raises(KubeflowError, match=message) as error:
        ConnectionConfig(token_env='TOKEN').secrets()
    assert not value or value not in str(error.value)
