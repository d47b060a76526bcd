"""Validation of host and token in `kubeflow.connection`."""

import pytest
from pydantic import ValidationError

from common.errors import KubeflowError
from pipeline.config.kubeflow import ConnectionConfig


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('host', 'localhost:8080', "URL scheme should be 'http' or 'https'"),
        ('host', 'https://', 'empty host'),
        ('host', 'https://kubeflow.example.com/pipeline/#/runs', 'no user, .* query or fragment'),
        ('host', 'https://me:secret@kubeflow.example.com', 'credentials are in environment var'),
        ('token_env', 'eyJhbGciOi.J9-x', 'token_env'),
    ],
)
def test_rejects_invalid_value(key, value, message):
    with pytest.raises(ValidationError, match=message):
        ConnectionConfig(**{key: value})


def test_strips_trailing_slash_of_host():
    assert ConnectionConfig(host='http://a:81/pipeline/').host == 'http://a:81/pipeline'


@pytest.mark.parametrize('value', [None, ' \n', 'abc\ndef', 'gehäim'])
def test_unusable_secret_is_reported_and_not_printed(monkeypatch, value):
    monkeypatch.setattr('os.environ', {'TOKEN': value} if value else {})

    with pytest.raises(KubeflowError, match=r'^token_env: .* TOKEN is not set, or has') as error:
        ConnectionConfig(token_env='TOKEN').token()
    assert not value or value not in str(error.value)
