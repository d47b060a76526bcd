"""Compiles a recipe and submits or schedules it on Kubeflow."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.config.recipe import Recipe
from pipeline.kubeflow.client import KubeflowClient, ScheduleInfo, SubmittedRun
from pipeline.retraining.cron import Schedule


def run_now(recipe: Recipe) -> SubmittedRun:
    """Compiles a recipe and submits one run. Raises ConfigError or KubeflowError."""
    client = KubeflowClient(recipe.kubeflow.connection)  # fails before the slow compilation
    with _package(recipe) as package:
        return client.submit(package, recipe.name, {})


def run_on_schedule(recipe: Recipe, schedule: Schedule) -> ScheduleInfo:
    """Compiles a recipe and schedules its runs, which train only for a reason, such as new images.

    Raises ConfigError, also if the cluster cannot express the schedule, or KubeflowError.
    """
    recipe = recipe.for_retraining()
    schedule.kubeflow(recipe.kubeflow.connection.cron_timezone)  # raises before connecting
    client = KubeflowClient(recipe.kubeflow.connection)
    with _package(recipe) as package:
        return client.create_schedule(package, recipe.name, {'only_when_new': True}, schedule)


@contextlib.contextmanager
def _package(recipe: Recipe) -> Iterator[Path]:
    from pipeline.kubeflow.compiler import compile_kubeflow  # imports TFX

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'{recipe.name}.yaml'
        compile_kubeflow(recipe, path)
        yield path
