"""Logs a run to an MLflow server with its client. Imports no other module of the project.

    python -m pipeline.tracking.mlflow_client < RUN

RUN is the JSON of `mlflow_run.as_request`. Prints the URL of the run, or nothing if the server has
it already. The parent process limits the time. An error is the last line of standard error.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

_CONNECT_SECONDS = 5
_PARAMS, _METRICS = 100, 500  # at most in a request; the server takes 100 and 1000


def main() -> None:
    """Logs the run on standard input."""
    request = json.load(sys.stdin)
    # Without these, the client sends usage data to its makers and repeats requests for minutes.
    os.environ.setdefault('MLFLOW_DISABLE_TELEMETRY', 'true')
    os.environ.setdefault('MLFLOW_HTTP_REQUEST_MAX_RETRIES', '1')
    os.environ.setdefault('MLFLOW_HTTP_REQUEST_TIMEOUT', str(request['timeout_seconds']))
    try:
        _check_reachable(request['tracking_uri'])
        with contextlib.redirect_stdout(sys.stderr):  # where the client prints links
            url = log(request)
    except Exception as error:
        sys.exit(' '.join(f'{type(error).__name__}: {error}'.split()))
    if url:
        sys.stdout.write(url)


def _check_reachable(uri: str) -> None:
    """Exits in seconds if no server answers; the client would repeat its requests."""
    import requests

    try:
        requests.get(uri, timeout=_CONNECT_SECONDS, stream=True).close()
    except requests.exceptions.SSLError:
        pass  # MLFLOW_TRACKING_INSECURE_TLS may accept it
    except requests.exceptions.Timeout:
        sys.exit(f'it does not answer within {_CONNECT_SECONDS} s')
    except requests.exceptions.RequestException as error:
        refused = 'refused' in str(error)
        sys.exit('it refuses connections' if refused else 'no connection is possible')


def log(request: dict[str, Any]) -> str | None:
    """Logs a run; returns its URL, or None if the server has it."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, ViewType

    client = MlflowClient(request['tracking_uri'])
    experiment = _experiment(client, request['experiment'])
    found = client.search_runs([experiment], request['logged_if'], ViewType.ACTIVE_ONLY, 1)
    if found:
        return None
    run = client.create_run(
        experiment, request['start_ms'], request['tags'], request['run_name']
    ).info.run_id
    try:
        params = [Param(key, value) for key, value in request['params'].items()]
        for start in range(0, len(params), _PARAMS):
            client.log_batch(run, params=params[start : start + _PARAMS])
        end_ms = request['end_ms']
        metrics = [Metric(key, value, end_ms, step) for key, value, step in request['metrics']]
        for start in range(0, len(metrics), _METRICS):
            client.log_batch(run, metrics=metrics[start : start + _METRICS])
        for path, place in request['artifacts']:
            log = client.log_artifacts if Path(path).is_dir() else client.log_artifact
            log(run, path, place)
    except BaseException:
        client.set_terminated(run, 'FAILED')
        raise
    client.set_terminated(run, 'FINISHED', request['end_ms'])
    return f'{request["tracking_uri"]}/#/experiments/{experiment}/runs/{run}'


def _experiment(client: 'MlflowClient', name: str) -> str:
    """Id of an experiment, which is created if there is none."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another run has created it meanwhile
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


if __name__ == '__main__':
    main()
