"""Every way to fail is one sentence: who, why, what would help, and no secret."""

import re
import socket

import pytest
from fake_server import Refusal

from common.errors import KubeflowError
from pipeline.kubeflow import bounded_client as bounded
from pipeline.kubeflow.client import ConnectionConfig, connect, submit

LOGIN = Refusal(200, '<html><title>Sign in\nto Dex</title></html>', 'text/html')


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(bounded, 'CONNECT_SECONDS', 0.2)
    monkeypatch.setattr(bounded, 'ANSWER_SECONDS', 0.2)


def test_sends_token_and_cookie_from_environment(kubeflow, connected, monkeypatch):
    monkeypatch.setenv('TOKEN', 'abc\n')
    monkeypatch.setenv('COOKIE', 'session=xyz')
    connected(token_env='TOKEN', cookie_env='COOKIE')

    headers = kubeflow.requests[-1].headers
    assert (headers['authorization'], headers['cookie']) == ('Bearer abc', 'session=xyz')


@pytest.mark.parametrize(
    ('variables', 'sent'),
    [
        ({}, 'no token and no cookie was sent'),
        ({'token_env': 'TOKEN'}, 'a token and no cookie was sent'),
        ({'cookie_env': 'COOKIE'}, 'no token and a cookie was sent'),
    ],
    ids=['nothing', 'token', 'cookie'],
)
@pytest.mark.parametrize('status', [401, 403])
def test_denied_access_names_credentials_without_secrets(
    kubeflow, connected, monkeypatch, variables, sent, status
):
    monkeypatch.setenv('TOKEN', 'abc123')
    monkeypatch.setenv('COOKIE', 'session=xyz789')
    kubeflow.refusals = [Refusal.with_message(status, 'not abc123, nor xyz789')]

    with pytest.raises(KubeflowError) as error:
        connected(**variables)

    assert f'{kubeflow.url} refuses ({status}): {sent}; it says not ' in str(error.value)
    assert not variables or '***' in str(error.value)
    assert 'abc123' not in str(error.value) or 'token_env' not in variables
    assert 'xyz789' not in str(error.value) or 'cookie_env' not in variables


def test_rejects_login_page_as_response(kubeflow, client, package):
    kubeflow.refusals = [LOGIN]

    with pytest.raises(KubeflowError, match=r"with a web page titled 'Sign in to Dex' instead of"):
        submit(client, package, name='today', parameters={})


def test_rejects_login_page_behind_redirect(kubeflow, connected):
    moved = Refusal(302, headers=(('Location', f'{kubeflow.url}/dex'),), pattern='healthz')
    kubeflow.refusals = [moved, LOGIN]

    with pytest.raises(KubeflowError, match=r'a login page.*; no token and no cookie was sent'):
        connected()


def test_reports_host_that_is_not_an_endpoint(kubeflow, connected):
    with pytest.raises(KubeflowError, match=r'/ui is no endpoint of Kubeflow .* ends in /pipeline'):
        connected(host=f'{kubeflow.url}/ui')


def test_reports_server_error_with_its_message(kubeflow, connected):
    kubeflow.refusals = [Refusal.with_message(500, 'no\n  database')]
    with pytest.raises(KubeflowError, match=r'fails \(500\): it says no database$'):
        connected()

    page = '<html><head><title>502 Bad Gateway</title></head></html>'
    kubeflow.refusals = [Refusal(502, page, 'text/html')]
    with pytest.raises(KubeflowError, match=r"\(502\): it says a web page titled '502 Bad Gate"):
        connected()


def test_silent_server_times_out(kubeflow, connected, quick):
    kubeflow.seconds = 10

    with pytest.raises(KubeflowError, match=r'does not answer: nothing came within 0.2 seconds'):
        connected()


@pytest.mark.parametrize('namespace', [None, 'team-a'])
def test_reports_refused_connection(namespace):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        host = f'http://127.0.0.1:{taken.getsockname()[1]}'

        with pytest.raises(KubeflowError, match=f'^{host} does not answer: Connection refused$'):
            connect(ConnectionConfig(host=host, namespace=namespace))


def test_reports_unknown_host_name(quick):
    with pytest.raises(KubeflowError, match=r'its name is not known here \(DNS\)$'):
        connect(ConnectionConfig(host='http://kubeflow.invalid'))


def test_reports_missing_tls(kubeflow):
    with pytest.raises(KubeflowError, match=r'does not answer: TLS failed .*; give ca_certificate'):
        connect(ConnectionConfig(host=kubeflow.url.replace('http', 'https')))


def test_error_says_that_host_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv('KF_PIPELINES_ENDPOINT', 'http://127.0.0.1:9')

    with pytest.raises(KubeflowError, match=r':9 does not .* \(no host was given, so this one was'):
        connect(ConnectionConfig())


def test_multi_user_mode_requires_namespace(kubeflow, connected):
    kubeflow.multi_user = True

    with pytest.raises(KubeflowError, match='several users here: give namespace'):
        connected()
    assert connected(namespace='team-a').get_user_namespace() == 'team-a'


@pytest.mark.parametrize(
    ('name', 'text', 'sentence'),
    [
        ('none.yaml', None, 'cannot be read: .*No such file'),
        ('it.json', '{}', 'is no pipeline package; expected a .yaml'),
        ('it.yaml', 'a: [', 'is not YAML: while parsing'),
        ('it.yaml', '', 'is no compiled pipeline: it has no pipelineInfo and root'),
        ('it.yaml', 'a: 1', 'is no compiled pipeline'),
        ('it.yaml', '{pipelineInfo: {name: a}, root: {b: 1}}', 'cannot be submitted: .*"b"'),
    ],
    ids=['missing', 'JSON', 'broken', 'empty', 'other', 'unknown key'],
)
def test_what_is_no_package_is_not_submitted(kubeflow, client, tmp_path, name, text, sentence):
    if text is not None:
        (tmp_path / name).write_text(text)

    with pytest.raises(KubeflowError, match=f'{re.escape(str(tmp_path / name))} {sentence}'):
        submit(client, tmp_path / name, name='today', parameters={})
    assert not kubeflow.runs


def test_reports_missing_certificate_file(tmp_path):
    with pytest.raises(KubeflowError, match=r'ca_certificate .*/none.pem does not exist'):
        connect(ConnectionConfig(host='https://a', ca_certificate=tmp_path / 'none.pem'))
