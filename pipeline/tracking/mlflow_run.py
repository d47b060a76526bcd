"""Logs a completed run to an MLflow server, in a subprocess with a time limit. Imports no TFX."""

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pipeline
from pipeline.config.mlflow_config import MlflowConfig
from pipeline.config.recipe import Recipe
from pipeline.formatting import dotted
from pipeline.report.page_data import ReportData
from pipeline.report.store import page_of

_CLIENT = 'pipeline.tracking.mlflow_client'
_MAX_ERROR = 300  # characters
_FORBIDDEN = re.compile(r'[^\w.\- :/]')  # in names
# Names by key of the training history; a slash groups plots.
_NAMES = {
    'loss': 'loss/train',
    'val_loss': 'loss/validation',
    'accuracy': 'accuracy/train',
    'val_accuracy': 'accuracy/validation',
    'learning_rate': 'learning_rate',
}

_log = logging.getLogger(__name__)


def track(recipe: Recipe, run: ReportData) -> tuple[str, ...]:
    """Logs parameters, metrics, decision, report and model of a run, if the recipe has MLflow.

    Returns the problems, a sentence each. They do not fail the run, because its model may be live.
    """
    config = recipe.mlflow
    if config is None:
        return ()
    page = page_of(recipe.home, run.id)
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
            return ()
        problem = (done.stderr.strip() or f'exit code {done.returncode}').splitlines()[-1]
    problem = f'MLflow at {config.tracking_uri}: run not logged: {problem[:_MAX_ERROR]}'
    return (f'{problem}; once this is solved, the same command logs it',)


def as_request(config: MlflowConfig, run: ReportData, page: Path) -> dict[str, Any]:
    """The run as the input of `mlflow_client`."""
    epochs = [*_epoch_metrics(run)]
    last = max((step for _, _, step in epochs), default=0)
    estimates = run.evaluation.candidate.overall.metrics.items()
    final = {f'test/{key}': each.value for key, each in estimates} | {'run_seconds': run.seconds}
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
        'metrics': [
            (_name(name), value, step)
            for name, value, step in (*epochs, *((*each, last) for each in final.items()))
            if value is not None  # NaN
        ],
        'artifacts': artifacts,
    }


def _epoch_metrics(run: ReportData) -> Iterator[tuple[str, float | None, int]]:
    """Yields name, value and epoch; epochs count from 1 over all stages."""
    before = 0
    for stage in run.stages:
        for key, values in stage.metrics.items():
            for epoch, value in enumerate(values, before + 1):
                yield _NAMES.get(key, key), value, epoch
        before += max(map(len, stage.metrics.values()), default=0)


def _name(key: str) -> str:
    return _FORBIDDEN.sub('_', key)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
