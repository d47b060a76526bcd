"""Calls of the client for any kfp: `python scenario.py URL PACKAGE` prints results as JSON."""

import dataclasses
import json
import sys
from pathlib import Path

from common.errors import KubeflowError
from pipeline.config.kubeflow_connection import ConnectionConfig
from pipeline.kubeflow.client import (
    connect,
    create_schedule,
    delete_schedule,
    list_schedules,
    submit,
)
from pipeline.retraining.cron import parse_schedule


def play(url: str, package: Path) -> dict:
    """Submits, schedules twice, lists and deletes; collects the messages of three errors."""
    client = connect(ConnectionConfig(host=url, token_env='SCENARIO_TOKEN'))
    results = {'run': dataclasses.asdict(submit(client, package, name='once', parameters={'a': 1}))}
    for cron in ('0 2 * * *', '30 4 * * 7'):
        schedule = parse_schedule(cron)
        create_schedule(client, package, name='nightly', schedule=schedule, parameters={'a': 2})
    results['schedules'] = [(each.name, each.cron, each.enabled) for each in list_schedules(client)]
    delete_schedule(client, 'nightly')
    results['left'] = len(list_schedules(client))
    results['errors'] = [
        _error_of(delete_schedule, client, 'nightly'),
        _error_of(submit, client, package.with_name('none.yaml'), name='once', parameters={}),
        _error_of(connect, ConnectionConfig(host=f'{url}/elsewhere')),
    ]
    client._healthz_api.api_client.rest_client.pool_manager.clear()
    return results


def _error_of(function, *arguments, **options) -> str:
    try:
        function(*arguments, **options)
    except KubeflowError as error:
        return str(error)
    raise AssertionError(f'{function.__name__} raised no error')


if __name__ == '__main__':
    import kfp

    results = play(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.write(json.dumps({'kfp': kfp.__version__, **results}))
