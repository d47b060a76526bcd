"""Logs a run to an MLflow server with its client. Imports no other module of the project.

    python -m pipeline.tracking.mlflow_client < RUN

RUN is the JSON of `mlflow_run.as_request`. Prints the URL of the run. The parent process limits the
time. An error is the last line of standard error.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Logs the run on standard input."""
    request = json.load(sys.stdin)
    # Without these, the client sends usage data to its makers and repeats requests for minutes.
    os.environ.setdefault('MLFLOW_DISABLE_TELEMETRY', 'true')
    os.environ.setdefault('MLFLOW_HTTP_REQUEST_MAX_RETRIES', '0')
    os.environ.setdefault('MLFLOW_HTTP_REQUEST_TIMEOUT', str(request['timeout_seconds']))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where the client prints links
            url = log(request)
    except Exception as error:
        sys.exit(' '.join(f'{type(error).__name__}: {error}'.split()))
    sys.stdout.write(url)


def log(request: dict[str, Any]) -> str:
    """Logs a run; returns its URL."""
    import mlflow
    from mlflow.entities import Metric, Param

    mlflow.set_tracking_uri(request['tracking_uri'])
    experiment = mlflow.set_experiment(request['experiment']).experiment_id
    client = mlflow.MlflowClient()
    run = client.create_run(
        experiment, request['start_ms'], request['tags'], request['run_name']
    ).info.run_id
    end_ms = request['end_ms']
    try:
        params = [Param(key, value) for key, value in request['params'].items()]
        metrics = [Metric(key, value, end_ms, step) for key, value, step in request['metrics']]
        client.log_batch(run, metrics, params)
        for path, place in request['artifacts']:
            upload = client.log_artifacts if Path(path).is_dir() else client.log_artifact
            upload(run, path, place)
    except BaseException:
        client.set_terminated(run, 'FAILED')
        raise
    client.set_terminated(run, 'FINISHED', end_ms)
    return f'{request["tracking_uri"]}/#/experiments/{experiment}/runs/{run}'


if __name__ == '__main__':
    main()
