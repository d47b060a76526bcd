"""Runs, schedules and errors of the client, with a fake server."""

import socket

import pytest

from common.errors import ConfigError, KubeflowError
from pipeline.config.kubeflow import ConnectionConfig
from pipeline.kubeflow import client as client_module
from pipeline.kubeflow.client import KubeflowClient
from pipeline.retraining.cron import Schedule

NIGHTLY = Schedule('0 2 * * 1-5')


def test_submits_runs_and_creates_the_experiment_once(kubeflow, client, package):
    urls = [client.submit(package, 'today', {'word': word}) for word in ('hi', 'ho')]

    (experiment,) = kubeflow.stored['experiments']
    assert experiment['display_name'] == 'pets'
    assert kubeflow.stored['runs'] == [
        {
            'run_id': url.removeprefix(f'{kubeflow.url}/#/runs/details/'),
            'experiment_id': experiment['experiment_id'],
            'display_name': 'today',
            'runtime_config': {'parameters': {'word': word}},
            'pipeline_spec': {
                'pipeline_spec': {'pipelineInfo': {'name': 'greeting'}},
                'platform_spec': {'platforms': {'kubernetes': {}}},
            },
        }
        for url, word in zip(urls, ('hi', 'ho'), strict=True)
    ]


def test_schedule_has_no_concurrency_and_no_catchup(kubeflow, connect, package):
    berlin = Schedule('0 2 * * 1-5', 'Europe/Berlin')

    client = connect(cron_timezone='Europe/Berlin', namespace='team-a')
    client.create_schedule(package, 'nightly', {'word': 'hi'}, berlin)

    (sent,) = kubeflow.stored['recurringruns']
    assert sent['trigger'] == {'cron_schedule': {'cron': '0 0 2 * * 1,2,3,4,5'}}
    assert (sent['max_concurrency'], sent['no_catchup'], sent['mode']) == ('1', True, 'ENABLE')
    assert sent['description'] == berlin.in_words()
    assert sent['runtime_config'] == {'parameters': {'word': 'hi'}}
    assert kubeflow.stored['experiments'][0]['namespace'] == 'team-a'
    assert any(
        'GET' in line and 'runs?' in line and 'team-a' in line for line, _ in kubeflow.requests
    )


def test_new_schedule_replaces_all_of_the_same_name(kubeflow, client, package):
    for name in ('nightly', 'weekly', 'nightly'):
        kubeflow.create('recurringruns', name)
        kubeflow.requests.append(('', {}))  # for another ID

    created = client.create_schedule(package, 'nightly', {}, NIGHTLY)

    kept = [
        (run['display_name'], run['recurring_run_id']) for run in kubeflow.stored['recurringruns']
    ]
    assert [name for name, _ in kept] == ['weekly', 'nightly']
    assert kept[1][1] == created
    methods = [line.partition(' ')[0] for line, _ in kubeflow.requests]
    assert methods.index('DELETE') > methods.index('POST')


@pytest.mark.parametrize(
    ('method', 'message', 'schedules'),
    [('POST', r'failed \(400\): Invalid cron$', 1), ('DELETE', 'was created, but an old one', 2)],
)
def test_failed_replacement_keeps_the_old_schedule(
    kubeflow, client, package, method, message, schedules
):
    kubeflow.create('recurringruns', 'nightly')
    kubeflow.stubs = [(f'{method} .*recurringruns', 400, '{"code": 3, "message": "Invalid cron"}')]

    with pytest.raises(KubeflowError, match=message):
        client.create_schedule(package, 'nightly', {}, NIGHTLY)
    assert len(kubeflow.stored['recurringruns']) == schedules


def test_sends_token_from_environment(kubeflow, connect, monkeypatch):
    monkeypatch.setenv('TOKEN', 'abc\n')
    connect(token_env='TOKEN')

    _, headers = kubeflow.requests[-1]
    assert headers['Authorization'] == 'Bearer abc'


@pytest.mark.parametrize(
    ('status', 'body', 'message'),
    [
        (200, '<title>Sign in</title>', 'returned no JSON: a login page.* had token$'),
        (200, '', 'returned no JSON'),
        (302, '', r'denied access or redirects to a login \(302\): the request had token; '),
        (401, '{"message": "who are you"}', r'\(401\): .* had token; response: who are you$'),
        (403, '<p>no\nentry</p>', r'\(403\): .*; response: no entry$'),
        (404, 'not found', r'failed \(404\): not found; .* ends in /pipeline'),
        (500, '{"message": "no\\n  database"}', r'failed \(500\): no database$'),
        (502, 'and so on ' * 99, r'failed \(502\): and so on .*\[\.\.\.\]$'),
        (502, '\udcff', 'returned no text in UTF-8$'),
        (503, '', r'failed \(503\): no text$'),
    ],
)
def test_unexpected_response_is_one_clear_sentence(
    kubeflow, connect, monkeypatch, status, body, message
):
    monkeypatch.setenv('TOKEN', 'abc123')
    kubeflow.stubs = [('', status, body)]

    with pytest.raises(KubeflowError, match=f'^{kubeflow.url} .*{message}') as error:
        connect(token_env='TOKEN')
    assert 'abc123' not in str(error.value)
    assert len(kubeflow.requests) == 1


@pytest.mark.parametrize(
    ('scheme', 'listens', 'reason'),
    [
        ('http', False, 'Connection refused'),
        ('http', True, 'timed out'),
        ('https', True, 'timed out'),
    ],
)
def test_reports_refused_and_silent_connection(monkeypatch, scheme, listens, reason):
    monkeypatch.setattr(client_module, 'TIMEOUTS', (0.2, 0.2))
    with socket.socket() as server:
        server.bind(('127.0.0.1', 0))
        if listens:
            server.listen()
        host = f'{scheme}://127.0.0.1:{server.getsockname()[1]}'
        monkeypatch.setenv('KF_PIPELINES_ENDPOINT', host)

        with pytest.raises(KubeflowError, match=f'^{host} does not respond: .*{reason}'):
            KubeflowClient(ConnectionConfig())


def test_reports_missing_tls(kubeflow):
    host = kubeflow.url.replace('http', 'https')

    with pytest.raises(KubeflowError, match=r'does not respond: .*; set connection.ca_certificate'):
        KubeflowClient(ConnectionConfig(host=host))


@pytest.mark.parametrize(
    ('host', 'certificate', 'message'),
    [
        ('', None, r'^no host; set kubeflow\.connection\.host or \$KF_PIPELINES_ENDPOINT$'),
        ('a:8080', None, r'^\$KF_PIPELINES_ENDPOINT: '),
        (
            'https://me:secret@a',
            None,
            r'^\$KF_PIPELINES_ENDPOINT: [^@]*credentials are in environment variables$',
        ),
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
    connect(namespace='team-a')
