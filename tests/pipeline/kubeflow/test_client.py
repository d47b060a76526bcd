"""Runs and schedules of the client, with kfp and a fake server."""

import subprocess
import sys

import pytest
import scenario
from fake_server import StubResponse

from common.errors import ConfigError, KubeflowError
from pipeline.kubeflow.client import create_schedule, delete_schedule, list_schedules, submit
from pipeline.retraining.cron import parse_schedule

NIGHTLY = parse_schedule('0 2 * * 1-5')


def test_submits_run_with_parameters_and_without_caching(kubeflow, client, package):
    run = submit(client, package, name='today', parameters={'word': 'hi'}, experiment='pets')

    (sent,) = kubeflow.runs
    assert run.id == sent['run_id']
    assert run.url == f'{kubeflow.url}/#/runs/details/{run.id}'
    assert (sent['display_name'], sent['runtime_config']) == (
        'today',
        {'parameters': {'word': 'hi'}},
    )
    assert sent['pipeline_spec']['pipelineInfo'] == {'name': 'greeting'}
    assert sent['pipeline_spec']['root']['dag']['tasks']['say']['cachingOptions'] == {}


def test_creates_experiment_once(kubeflow, client, package):
    for _ in range(2):
        submit(client, package, name='today', parameters={}, experiment='pets')

    (experiment,) = kubeflow.experiments
    assert experiment['display_name'] == 'pets'
    assert {run['experiment_id'] for run in kubeflow.runs} == {experiment['experiment_id']}


def test_submit_prints_nothing(kubeflow, client, package, capsys):
    submit(client, package, name='today', parameters={})

    assert capsys.readouterr() == ('', '')


def test_schedule_has_no_concurrency_and_no_catchup(kubeflow, client, package):
    create_schedule(client, package, name='nightly', schedule=NIGHTLY, parameters={'word': 'hi'})

    (sent,) = kubeflow.recurring_runs
    assert sent['trigger'] == {'cron_schedule': {'cron': '0 0 2 * * 1,2,3,4,5'}}
    assert (sent['max_concurrency'], sent['no_catchup'], sent['mode']) == (1, True, 'ENABLE')
    assert sent['description'] == 'At 02:00 on Monday through Friday (UTC)'
    assert sent['runtime_config'] == {'parameters': {'word': 'hi'}}
    assert sent['pipeline_spec']['root']['dag']['tasks']['say']['cachingOptions'] == {}


def test_new_schedule_replaces_all_of_the_same_name(kubeflow, client, package):
    for name in ('nightly', 'weekly', 'nightly'):
        kubeflow.add_schedule(name)

    created = create_schedule(client, package, name='nightly', schedule=NIGHTLY, parameters={})

    assert [(each.id == created.id, each.name) for each in list_schedules(client)] == [
        (False, 'weekly'),
        (True, 'nightly'),
    ]
    methods = [request.method for request in kubeflow.requests]
    assert methods.index('DELETE') > methods.index('POST')


def test_rejected_schedule_keeps_the_old_one(kubeflow, client, package):
    old = kubeflow.add_schedule('nightly')
    kubeflow.stubs = [StubResponse.with_message(400, 'Invalid cron', 'POST .*recurringruns')]

    with pytest.raises(KubeflowError, match=r'failed \(400\); response: Invalid cron$'):
        create_schedule(client, package, name='nightly', schedule=NIGHTLY, parameters={})

    assert kubeflow.recurring_runs == [old]


def test_reports_old_schedule_that_cannot_be_deleted(kubeflow, client, package):
    kubeflow.add_schedule('nightly')
    kubeflow.stubs = [StubResponse.with_message(500, 'database is locked', 'DELETE')]

    with pytest.raises(KubeflowError, match=r'nightly was created, but an old one .* locked'):
        create_schedule(client, package, name='nightly', schedule=NIGHTLY, parameters={})


def test_rejects_other_time_zone_before_any_request(kubeflow, client, package):
    berlin = parse_schedule('0 2 * * *', 'Europe/Berlin')
    options = {'name': 'nightly', 'schedule': berlin, 'parameters': {}}
    before = len(kubeflow.requests)

    with pytest.raises(ConfigError, match='is in Europe/Berlin'):
        create_schedule(client, package, **options)
    assert len(kubeflow.requests) == before

    created = create_schedule(client, package, **options, cluster_timezone='Europe/Berlin')
    assert created.cron == '0 0 2 * * *'


def test_lists_schedules_of_all_pages(kubeflow, client):
    kubeflow.largest_page = 2
    cron = {'cron_schedule': {'cron': '0 0 2 * * *'}}
    for number in range(5):
        kubeflow.add_schedule(f'schedule {number}', trigger=cron)
    kubeflow.add_schedule('paused', mode='DISABLE', trigger={'periodic_schedule': {}})

    schedules = list_schedules(client)

    assert [each.name for each in schedules] == [*(f'schedule {n}' for n in range(5)), 'paused']
    assert {(each.cron, each.enabled) for each in schedules} == {('0 0 2 * * *', True), ('', False)}


def test_lists_schedules_of_namespace(kubeflow, connected):
    list_schedules(connected(namespace='team-a'))

    assert kubeflow.requests[-1].query['namespace'] == 'team-a'


def test_deletes_all_schedules_of_a_name(kubeflow, client):
    for name in ('nightly', 'weekly', 'nightly'):
        kubeflow.add_schedule(name)

    assert [each.name for each in delete_schedule(client, 'nightly')] == ['nightly'] * 2
    assert [run['display_name'] for run in kubeflow.recurring_runs] == ['weekly']


@pytest.mark.parametrize(
    ('names', 'hint'),
    [
        (['nightly', 'weekly'], 'existing: nightly'),
        (['a', 'b'], 'existing: a, b'),
        ([], 'there are no schedules'),
    ],
    ids=['close', 'others', 'none'],
)
def test_deleting_unknown_schedule_suggests_names(kubeflow, client, names, hint):
    for name in names:
        kubeflow.add_schedule(name)

    with pytest.raises(KubeflowError, match=f'^no schedule is named nigthly; {hint}$'):
        delete_schedule(client, 'nigthly')


def test_importing_client_imports_neither_kfp_nor_tfx():
    program = 'import sys, pipeline.kubeflow.client\nprint(*sys.modules)'
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)

    imported = set(done.stdout.split())
    assert 'pipeline.kubeflow.client' in imported
    assert not imported & {'kfp', 'kfp_server_api', 'tfx', 'tensorflow', 'google.protobuf'}


def test_scenario_with_installed_kfp(kubeflow, package, monkeypatch):
    monkeypatch.setenv('SCENARIO_TOKEN', 'abc123')

    results = scenario.play(kubeflow.url, package)

    assert results['schedules'] == [('nightly', '0 30 4 * * 0', True)]
    assert (results['run']['id'], results['left']) == (kubeflow.runs[0]['run_id'], 0)
    assert len(results['errors']) == 3
