"""What is asked of every kfp: `python scenario.py URL PACKAGE` prints what came of it as JSON."""

import dataclasses
import json
import sys
from pathlib import Path

from common.errors import KubeflowError
from pipeline.kubeflow.client import (
    ConnectionConfig,
    connect,
    create_schedule,
    delete_schedule,
    list_schedules,
    submit,
)
from pipeline.retraining.cron import parse_schedule


def play(url: str, package: Path) -> dict:
    """Submits, schedules twice, lists, deletes, and is refused three times."""
    client = connect(ConnectionConfig(host=url, token_env='SCENARIO_TOKEN'))
    done = {'run': dataclasses.asdict(submit(client, package, name='once', parameters={'a': 1}))}
    for cron in ('0 2 * * *', '30 4 * * 7'):
        schedule = parse_schedule(cron)
        create_schedule(client, package, name='nightly', schedule=schedule, parameters={'a': 2})
    done['schedules'] = [(each.name, each.cron, each.enabled) for each in list_schedules(client)]
    delete_schedule(client, 'nightly')
    done['left'] = len(list_schedules(client))
    done['refused'] = [
        _refusal(delete_schedule, client, 'nightly'),
        _refusal(submit, client, package.with_name('none.yaml'), name='once', parameters={}),
        _refusal(connect, ConnectionConfig(host=f'{url}/elsewhere')),
    ]
    client._healthz_api.api_client.rest_client.pool_manager.clear()
    return done


def _refusal(function, *arguments, **options) -> str:
    try:
        function(*arguments, **options)
    except KubeflowError as error:
        return str(error)
    raise AssertionError(f'{function.__name__} was not refused')


if __name__ == '__main__':
    import kfp

    played = play(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.write(json.dumps({'kfp': kfp.__version__, **played}))
