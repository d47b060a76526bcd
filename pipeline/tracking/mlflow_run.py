"""Logs a completed run to an MLflow server, in a subprocess with a time limit. Imports no TFX."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pipeline
from pipeline.config.mlflow_config import MlflowConfig
from pipeline.formatting import dotted
from pipeline.report.page_data import ReportData
from pipeline.tracking.run_metrics import epoch_metrics, final_metrics

_CLIENT = 'pipeline.tracking.mlflow_client'
_MAX_ERROR = 300  # characters
_FORBIDDEN = re.compile(r'[^\w.\- :/]')  # in names

_log = logging.getLogger(__name__)


def log_to_mlflow(config: MlflowConfig, run: ReportData, page: Path) -> str | None:
    """Logs parameters, metrics, gate decision, report page and pushed model of a run.

    Returns a sentence with the problem; None if there was none.
    """
    try:
        done = subprocess.run(
            [sys.executable, '-m', _CLIENT],
            input=json.dumps(as_request(config, run, page)),
            cwd=Path(pipeline.__path__[0]).parent,
            timeout=config.timeout_seconds,
            capture_output=True,
            text=True,
            errors='replace',
        )
    except subprocess.TimeoutExpired:
        problem = f'no end within mlflow.timeout_seconds, {config.timeout_seconds} s'
    else:
        if not done.returncode:
            _log.info('MLflow: %s', done.stdout)
            return None
        problem = (done.stderr.strip() or f'exit code {done.returncode}').splitlines()[-1]
    problem = f'MLflow at {config.tracking_uri}: run not logged: {problem[:_MAX_ERROR]}'
    return f'{problem}; once this is solved, the same command logs it'


def as_request(config: MlflowConfig, run: ReportData, page: Path) -> dict[str, Any]:
    """The run as the input of `mlflow_client`."""
    epochs = [(name, value, epoch) for name, epoch, value in epoch_metrics(run)]
    last = max((step for _, _, step in epochs), default=0)
    final = {**final_metrics(run), 'run_seconds': run.seconds}
    artifacts = [(str(page.absolute()), 'report')] if page.is_file() else []
    if run.blessed and run.folder:
        artifacts.append((run.folder, 'model'))
    tags = {
        'catdog.run': run.id,
        'catdog.recipe': run.recipe,
        'catdog.trained_by': run.origin.model.run,
        'catdog.decision': 'blessed' if run.blessed else 'not blessed',
        'catdog.reasons': '; '.join(run.reasons),
        'catdog.manual_override': run.manual_override or '',
        'catdog.version': run.version or '',
    }
    return {
        'tracking_uri': config.tracking_uri,
        'timeout_seconds': config.timeout_seconds,
        'experiment': config.experiment or run.recipe,
        'run_name': f'{run.recipe}/{run.id}',
        'start_ms': round(run.started.timestamp() * 1000),
        'end_ms': round(run.ended.timestamp() * 1000),
        'tags': {key: value for key, value in tags.items() if value},
        'params': {_name(key): _text(value) for key, value in dotted(run.config).items()},
        'metrics': [(_name(name), value, epoch) for name, value, epoch in epochs]
        + [(_name(name), value, last) for name, value in final.items()],
        'artifacts': artifacts,
    }


def _name(key: str) -> str:
    return _FORBIDDEN.sub('_', key)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
