"""Runs, schedules and errors of the client, with a fake server."""

import socket

import pytest
from pydantic import ValidationError

from common.errors import ConfigError, KubeflowError
from pipeline.config.kubeflow import ConnectionConfig
from pipeline.kubeflow import client as client_module
from pipeline.kubeflow.client import KubeflowClient
from pipeline.retraining.cron import Schedule

NIGHTLY = Schedule('0 2 * * 1-5', 'Europe/Berlin')
DENIED = (
    '{"message": "Failed to list experiments: Failed to authorize with API: PermissionDenied: '
    "User 'system:serviceaccount:team-a:default-editor' is not authorized with reason:  (request: "
    '&ResourceAttributes{Namespace:team-b,Verb:list,Group:pipelines.kubeflow.org,Version:v1beta1,'
    'Resource:experiments,Subresource:,Name:,FieldSelector:nil,LabelSelector:nil,}): Unauthorized"}'
)
PACKAGE = 'pipelineInfo: {name: greeting}\n---\nplatforms: {kubernetes: {}}\n'


@pytest.fixture
def connect(kubeflow, monkeypatch):
    """`connect(**config)` connects a client to the fake."""
    monkeypatch.setenv('TOKEN', 'abc123\n')
    monkeypatch.setenv('COOKIE', 'session=xyz')
    return lambda **config: KubeflowClient(
        ConnectionConfig(host=kubeflow.url, cron_timezone='Europe/Berlin', **config)
    )


def test_submits_runs_to_one_experiment(kubeflow, connect):
    url, _ = (connect(experiment='pets').submit(PACKAGE, 'today') for _ in range(2))

    (experiment,) = kubeflow.stored['experiments']
    assert experiment['display_name'] == 'pets'
    assert kubeflow.stored['runs'][0] == {
        'run_id': url.removeprefix(f'{kubeflow.url}/#/runs/details/'),
        'experiment_id': experiment['experiment_id'],
        'display_name': 'today',
        'runtime_config': {'parameters': {}},
        'pipeline_spec': {
            'pipeline_spec': {'pipelineInfo': {'name': 'greeting'}},
            'platform_spec': {'platforms': {'kubernetes': {}}},
        },
    }


def test_schedule_replaces_those_of_its_name_in_its_experiment(kubeflow, connect):
    for name in ('nightly', 'weekly', 'nightly'):
        kubeflow.create('recurringruns', display_name=name)
    kubeflow.create('recurringruns', display_name='nightly', experiment_id='of-others')

    created = connect(namespace='team-a').create_schedule(PACKAGE, 'nightly', NIGHTLY)

    *others, sent = kubeflow.stored['recurringruns']
    assert [each['display_name'] for each in others] == ['weekly', 'nightly']
    assert (others[1]['experiment_id'], sent['recurring_run_id']) == ('of-others', created)
    assert sent['trigger'] == {'cron_schedule': {'cron': '0 0 2 * * 1,2,3,4,5'}}
    assert (sent['max_concurrency'], sent['no_catchup'], sent['mode']) == ('1', True, 'ENABLE')
    assert sent['description'] == NIGHTLY.in_words()
    assert sent['runtime_config'] == {'parameters': {'only_when_new': True}}
    assert kubeflow.stored['experiments'][0]['namespace'] == 'team-a'
    lists = [line for line, _ in kubeflow.requests if line.startswith('GET')]
    assert all('namespace=team-a' in line for line in lists)


@pytest.mark.parametrize(
    ('method', 'message', 'schedules'),
    [('POST', r'failed \(400\): Invalid cron$', 1), ('DELETE', 'was created, but an old one', 2)],
)
def test_failed_replacement_keeps_the_old_schedule(kubeflow, connect, method, message, schedules):
    kubeflow.create('recurringruns', display_name='nightly')
    kubeflow.stubs = [(f'{method} .*recurringruns', 400, '{"code": 3, "message": "Invalid cron"}')]

    with pytest.raises(KubeflowError, match=message):
        connect().create_schedule(PACKAGE, 'nightly', NIGHTLY)
    assert len(kubeflow.stored['recurringruns']) == schedules


def test_sends_token_from_environment(kubeflow, connect):
    connect(token_env='TOKEN')

    _, headers = kubeflow.requests[-2]  # the last one is the experiment of the fake
    assert headers['Authorization'] == 'Bearer abc123'


@pytest.mark.parametrize('value', [None, ' \n', 'abc\ndef', 'gehäim'])
def test_unusable_secret_is_not_printed(connect, monkeypatch, value):
    monkeypatch.setattr('os.environ', {'TOKEN': value} if value else {})

    with pytest.raises(KubeflowError, match=r'^token_env: .* TOKEN is not set, or has') as error:
        connect(token_env='TOKEN')
    assert not value or value not in str(error.value)


@pytest.mark.parametrize(
    ('status', 'body', 'message'),
    [
        (200, '<title>Sign in</title>', 'returned no JSON: a login page.* had token$'),
        (200, '', 'returned no JSON'),
        (302, '', r'denied access or redirects to a login \(302\): the request had token; '),
        (401, '{"message": "who are you"}', r'\(401\): .* had token; response: who are you$'),
        (403, '<p>no\nentry</p>', r'\(403\): .*; response: no entry$'),
        (403, DENIED, r'\(403\): .*PermissionDenied.*Verb:list,.*,Resource:experiments,'),
        (404, 'not found', r'failed \(404\): not found; .* ends in /pipeline'),
        (500, '{"message": "no\\n  database"}', r'failed \(500\): no database$'),
        (502, 'and so on ' * 99, r'failed \(502\): and so on .*\[\.\.\.\]$'),
        (502, '\udcff', 'returned no text in UTF-8$'),
        (503, '', r'failed \(503\): no text$'),
    ],
)
def test_unexpected_response_is_one_clear_sentence(kubeflow, connect, status, body, message):
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

        with pytest.raises(KubeflowError, match=f'^{host} does not respond: .*{reason}'):
            KubeflowClient(ConnectionConfig(host=host))


def test_reports_missing_tls(kubeflow):
    host = kubeflow.url.replace('http', 'https')

    with pytest.raises(KubeflowError, match=r'does not respond: .*; set connection.ca_certificate'):
        KubeflowClient(ConnectionConfig(host=host))


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({}, r'^no host; set kubeflow\.connection\.host$'),
        ({'host': 'https://a', 'ca_certificate': 'no.pem'}, r'certificate no\.pem does not exist'),
    ],
)
def test_reports_missing_host_or_certificate(config, message):
    with pytest.raises(ConfigError, match=message):
        KubeflowClient(ConnectionConfig(**config))


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
def test_rejects_invalid_connection(key, value, message):
    with pytest.raises(ValidationError, match=message):
        ConnectionConfig(**{key: value})
    assert ConnectionConfig(host='http://a:81/pipeline/').host == 'http://a:81/pipeline'
