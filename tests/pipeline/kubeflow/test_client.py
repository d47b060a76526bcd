"""Runs, schedules and errors of the client, with a fake server."""

import http.server
import socket
import threading

import pytest
from fake_server import URL, Stub

from common.errors import ConfigError, KubeflowError
from pipeline.config.kubeflow import ConnectionConfig
from pipeline.kubeflow import client as client_module
from pipeline.kubeflow.client import KubeflowClient
from pipeline.retraining.cron import Schedule

NIGHTLY = Schedule('0 2 * * 1-5')
LOGIN = Stub(200, '<html><title>Sign in\nto Dex</title></html>')


def test_submits_runs_and_creates_the_experiment_once(kubeflow, client, package):
    runs = [client.submit(package, 'today', {'word': word}) for word in ('hi', 'ho')]

    assert runs[0].url == f'{URL}/#/runs/details/{runs[0].id}'
    (experiment,) = kubeflow.stored['experiments']
    assert experiment['display_name'] == 'pets'
    assert kubeflow.stored['runs'] == [
        {
            'run_id': run.id,
            'experiment_id': experiment['experiment_id'],
            'display_name': 'today',
            'status': 'ENABLED',
            'runtime_config': {'parameters': {'word': word}},
            'pipeline_spec': {
                'pipeline_spec': {'pipelineInfo': {'name': 'greeting'}},
                'platform_spec': {'platforms': {'kubernetes': {}}},
            },
        }
        for run, word in zip(runs, ('hi', 'ho'), strict=True)
    ]


def test_schedule_has_no_concurrency_and_no_catchup(kubeflow, connect, package):
    berlin = Schedule('0 2 * * 1-5', 'Europe/Berlin')
    client = connect(cron_timezone='Europe/Berlin')

    client.create_schedule(package, 'nightly', {'word': 'hi'}, berlin)

    (sent,) = kubeflow.stored['recurringruns']
    assert sent['trigger'] == {'cron_schedule': {'cron': '0 0 2 * * 1,2,3,4,5'}}
    assert (sent['max_concurrency'], sent['no_catchup'], sent['mode']) == (1, True, 'ENABLE')
    assert sent['description'] == berlin.in_words()
    assert sent['runtime_config'] == {'parameters': {'word': 'hi'}}


def test_new_schedule_replaces_all_of_the_same_name(kubeflow, client, package):
    for name in ('nightly', 'weekly', 'nightly'):
        kubeflow.create('recurringruns', name)

    created = client.create_schedule(package, 'nightly', {}, NIGHTLY)

    assert [(each.id == created.id, each.name) for each in client.list_schedules()] == [
        (False, 'weekly'),
        (True, 'nightly'),
    ]
    methods = [request.method for request in kubeflow.requests]
    assert methods.index('DELETE') > methods.index('POST')


def test_rejected_schedule_keeps_the_old_one(kubeflow, client, package):
    old = kubeflow.create('recurringruns', 'nightly')
    kubeflow.stubs = [Stub.error(400, 'Invalid cron', 'POST .*recurringruns')]

    with pytest.raises(KubeflowError, match=r'failed \(400\); response: Invalid cron$'):
        client.create_schedule(package, 'nightly', {}, NIGHTLY)
    assert kubeflow.stored['recurringruns'] == [old]


def test_reports_old_schedule_that_cannot_be_deleted(kubeflow, client, package):
    kubeflow.create('recurringruns', 'nightly')
    kubeflow.stubs = [Stub.error(500, 'database is locked', 'DELETE')]

    with pytest.raises(KubeflowError, match=r'nightly was created, but an old one .* locked'):
        client.create_schedule(package, 'nightly', {}, NIGHTLY)


def test_lists_schedules_of_all_pages_and_of_the_namespace(kubeflow, connect):
    kubeflow.largest_page = 2
    cron = {'cron_schedule': {'cron': '0 0 2 * * *'}}
    for number in range(4):
        kubeflow.create('recurringruns', f'schedule {number}', trigger=cron)
    kubeflow.create('recurringruns', 'paused', status='DISABLED', trigger={'periodic_schedule': {}})

    schedules = connect(namespace='team-a').list_schedules()

    assert [(each.name, each.cron, each.enabled) for each in schedules] == [
        *((f'schedule {number}', '0 0 2 * * *', True) for number in range(4)),
        ('paused', '', False),
    ]
    assert 'namespace=team-a' in kubeflow.requests[-1].url


@pytest.mark.parametrize(('names', 'known'), [(['b', 'a'], 'a, b'), ([], 'none')])
def test_deleting_unknown_schedule_lists_the_known_ones(kubeflow, client, names, known):
    for name in names:
        kubeflow.create('recurringruns', name)

    with pytest.raises(KubeflowError, match=f'^no schedule is named nightly; existing: {known}$'):
        client.delete_schedule('nightly')


def test_sends_token_and_cookie_from_environment(kubeflow, connect, monkeypatch):
    monkeypatch.setenv('TOKEN', 'abc\n')
    monkeypatch.setenv('COOKIE', 'session=xyz')
    connect(token_env='TOKEN', cookie_env='COOKIE')

    headers = kubeflow.requests[-1].headers
    assert (headers['Authorization'], headers['Cookie']) == ('Bearer abc', 'session=xyz')


@pytest.mark.parametrize(
    ('variables', 'sent', 'response'),
    [
        ({}, 'no token and no cookie', 'not abc123, nor xyz789'),
        ({'token_env': 'TOKEN'}, 'token', 'not ***, nor xyz789'),
        ({'cookie_env': 'COOKIE'}, 'cookie', 'not abc123, nor ***'),
    ],
)
@pytest.mark.parametrize('status', [401, 403])
def test_denied_access_names_credentials_without_secrets(
    kubeflow, connect, monkeypatch, variables, sent, response, status
):
    monkeypatch.setenv('TOKEN', 'abc123')
    monkeypatch.setenv('COOKIE', 'session=xyz789')
    kubeflow.stubs = [Stub.error(status, 'not abc123, nor xyz789')]

    with pytest.raises(KubeflowError) as error:
        connect(**variables)
    assert str(error.value) == (
        f'{URL} denied access ({status}): the request had {sent}; response: {response}'
    )


@pytest.mark.parametrize(
    ('stubs', 'message'),
    [
        ([LOGIN], 'returned no JSON: a login page.* had no token.*; response: Sign in to Dex$'),
        ([Stub(302, location='/dex?state=1')], 'a login page.* response: redirect to /dex$'),
        ([Stub(200)], 'returned no JSON'),
        ([Stub(404, 'not found')], r'is not an endpoint of Kubeflow.* ends in /pipeline'),
        ([Stub.error(404, 'no run')], r'failed \(404\); response: no run$'),
        ([Stub.error(500, 'no\n  database')], r'failed \(500\); response: no database$'),
        (
            [Stub(502, '<title>502 Bad</title>' + 99 * 'and so on ')],
            r'response: 502 Bad .*\[\.\.\.\]',
        ),
    ],
)
def test_unexpected_response_is_one_clear_sentence(kubeflow, connect, stubs, message):
    kubeflow.stubs = stubs

    with pytest.raises(KubeflowError, match=rf'^{URL} .*{message}'):
        connect()


@pytest.mark.parametrize(
    ('listens', 'reason'), [(False, 'Connection refused'), (True, 'timed out')]
)
def test_reports_refused_and_silent_connection(monkeypatch, listens, reason):
    monkeypatch.setattr(client_module, 'TIMEOUTS', (5, 0.2))
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        if listens:
            server.listen()
        host = f'http://127.0.0.1:{server.getsockname()[1]}'
        monkeypatch.setenv('KF_PIPELINES_ENDPOINT', host)

        with pytest.raises(KubeflowError, match=f'^{host} does not respond: {reason}$'):
            KubeflowClient(ConnectionConfig())


def test_reports_missing_tls():
    handler = http.server.BaseHTTPRequestHandler
    with http.server.HTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        host = f'https://127.0.0.1:{server.server_port}'

        with pytest.raises(KubeflowError, match=r'TLS failed .*; set ca_certificate'):
            KubeflowClient(ConnectionConfig(host=host))
        thread.join()


@pytest.mark.parametrize(
    ('host', 'certificate', 'message'),
    [
        ('', None, r'^no host; set kubeflow\.connection\.host or \$KF_PIPELINES_ENDPOINT$'),
        ('a:8080', None, r'^\$KF_PIPELINES_ENDPOINT: input should begin with http://'),
        ('https://me:secret@a', None, r'^\$KF_PIPELINES_ENDPOINT: [^@]*; use token_env$'),
        ('https://a', 'no.pem', r'certificate no\.pem does not exist'),
    ],
)
def test_reports_unusable_host_or_certificate(monkeypatch, host, certificate, message):
    monkeypatch.setenv('KF_PIPELINES_ENDPOINT', host)
    with pytest.raises(ConfigError, match=message):
        KubeflowClient(ConnectionConfig(ca_certificate=certificate))


def test_multi_user_mode_requires_namespace(kubeflow, connect):
    kubeflow.multi_user = True

    with pytest.raises(KubeflowError, match=r'multi-user: set connection\.namespace'):
        connect()
    assert connect(namespace='team-a').list_schedules() == []
