"""Errors of the client: one sentence with host, reason and remedy, and no secret."""

import socket

import pytest
from fake_server import StubResponse

from common.errors import KubeflowError
from pipeline.config.kubeflow_connection import ConnectionConfig
from pipeline.kubeflow import bounded_client
from pipeline.kubeflow.client import connect, submit

LOGIN = StubResponse(200, '<html><title>Sign in\nto Dex</title></html>', 'text/html')


@pytest.fixture
def short_timeouts(monkeypatch):
    monkeypatch.setattr(bounded_client, 'CONNECT_SECONDS', 0.2)
    monkeypatch.setattr(bounded_client, 'READ_SECONDS', 0.2)


def test_sends_token_and_cookie_from_environment(kubeflow, connected, monkeypatch):
    monkeypatch.setenv('TOKEN', 'abc\n')
    monkeypatch.setenv('COOKIE', 'session=xyz')
    connected(token_env='TOKEN', cookie_env='COOKIE')

    headers = kubeflow.requests[-1].headers
    assert (headers['authorization'], headers['cookie']) == ('Bearer abc', 'session=xyz')


@pytest.mark.parametrize(
    ('variables', 'sent'),
    [
        ({}, 'no token and no cookie'),
        ({'token_env': 'TOKEN'}, 'token'),
        ({'cookie_env': 'COOKIE'}, 'cookie'),
    ],
    ids=['nothing', 'token', 'cookie'],
)
@pytest.mark.parametrize('status', [401, 403])
def test_denied_access_names_credentials_without_secrets(
    kubeflow, connected, monkeypatch, variables, sent, status
):
    monkeypatch.setenv('TOKEN', 'abc123')
    monkeypatch.setenv('COOKIE', 'session=xyz789')
    kubeflow.stubs = [StubResponse.with_message(status, 'not abc123, nor xyz789')]

    with pytest.raises(KubeflowError) as error:
        connected(**variables)

    message = str(error.value)
    assert f'{kubeflow.url} denied access ({status}): the request had {sent}; ' in message
    assert not variables or '***' in message
    assert 'abc123' not in message or 'token_env' not in variables
    assert 'xyz789' not in message or 'cookie_env' not in variables


def test_rejects_login_page_as_response(kubeflow, client, package):
    kubeflow.stubs = [LOGIN]

    with pytest.raises(KubeflowError, match=r"a web page titled 'Sign in to Dex' instead of JSON"):
        submit(client, package, name='today', parameters={})


def test_rejects_login_page_behind_redirect(kubeflow, connected):
    moved = StubResponse(302, headers=(('Location', f'{kubeflow.url}/dex'),), pattern='healthz')
    kubeflow.stubs = [moved, LOGIN]

    with pytest.raises(KubeflowError, match=r'a login page.* had no token and no cookie'):
        connected()


def test_reports_host_that_is_not_an_endpoint(kubeflow, connected):
    with pytest.raises(KubeflowError, match=r'/ui is not an endpoint of Kube.* ends in /pipeline'):
        connected(host=f'{kubeflow.url}/ui')


def test_reports_server_error_with_its_message(kubeflow, connected):
    kubeflow.stubs = [StubResponse.with_message(500, 'no\n  database')]
    with pytest.raises(KubeflowError, match=r'failed \(500\); response: no database$'):
        connected()

    page = '<html><head><title>502 Bad Gateway</title></head></html>'
    kubeflow.stubs = [StubResponse(502, page, 'text/html')]
    with pytest.raises(KubeflowError, match=r"\(502\); response: a web page titled '502 Bad Gate"):
        connected()


def test_silent_server_times_out(kubeflow, connected, short_timeouts):
    kubeflow.delay_seconds = 10

    with pytest.raises(KubeflowError, match=r'does not respond: no data within 0.2 seconds'):
        connected()


@pytest.mark.parametrize('namespace', [None, 'team-a'])
def test_reports_refused_connection(namespace):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        host = f'http://127.0.0.1:{taken.getsockname()[1]}'

        with pytest.raises(KubeflowError, match=f'^{host} does not respond: Connection refused$'):
            connect(ConnectionConfig(host=host, namespace=namespace))


def test_reports_unknown_host_name(short_timeouts):
    with pytest.raises(KubeflowError, match=r'the host name cannot be resolved$'):
        connect(ConnectionConfig(host='http://kubeflow.invalid'))


def test_reports_missing_tls(kubeflow):
    with pytest.raises(KubeflowError, match=r'does not respond: TLS failed .*; set ca_certificate'):
        connect(ConnectionConfig(host=kubeflow.url.replace('http', 'https')))


def test_error_says_that_host_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv('KF_PIPELINES_ENDPOINT', 'http://127.0.0.1:9')

    with pytest.raises(KubeflowError, match=r':9 does not .* \(default host'):
        connect(ConnectionConfig())


def test_multi_user_mode_requires_namespace(kubeflow, connected):
    kubeflow.multi_user = True

    with pytest.raises(KubeflowError, match=r'multi-user: set connection\.namespace'):
        connected()
    assert connected(namespace='team-a').get_user_namespace() == 'team-a'


def test_reports_missing_certificate_file(tmp_path):
    with pytest.raises(KubeflowError, match=r'ca_certificate .*/none.pem does not exist'):
        connect(ConnectionConfig(host='https://a', ca_certificate=tmp_path / 'none.pem'))
