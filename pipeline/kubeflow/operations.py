"""What a person asks of Kubeflow: run a recipe now, or on a schedule."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.config.recipe import Recipe
from pipeline.execution.quick_imports import quick_imports
from pipeline.kubeflow.client import ScheduleInfo, SubmittedRun, connect, create_schedule, submit
from pipeline.retraining.cron import Schedule


def run_now(recipe: Recipe) -> SubmittedRun:
    """Compiles a recipe and starts one run of it.

    Raises:
        ConfigError: see `compile_kubeflow`.
        KubeflowError: Kubeflow is not reached, or refuses.
    """
    config = recipe.kubeflow.connection
    client = connect(config)  # before seconds go into compiling
    with _package(recipe) as package:
        return submit(
            client, package, name=recipe.name, parameters={}, experiment=config.experiment
        )


def run_on(recipe: Recipe, schedule: Schedule) -> ScheduleInfo:
    """The same again and again: a run does something only if there is something new.

    Raises:
        ConfigError: the cluster cannot keep this schedule.
        ConfigError, KubeflowError: as `run_now`.
    """
    recipe, config = recipe.for_retraining(), recipe.kubeflow.connection
    schedule.kubeflow(config.cron_timezone)  # raises before anything is done
    client = connect(config)
    with _package(recipe) as package:
        return create_schedule(
            client,
            package,
            name=recipe.name,
            schedule=schedule,
            parameters={'only_when_new': True},
            experiment=config.experiment,
            cluster_timezone=config.cron_timezone,
        )


@contextlib.contextmanager
def _package(recipe: Recipe) -> Iterator[Path]:
    with quick_imports():
        from pipeline.kubeflow.compiler import compile_kubeflow  # brings in TFX

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'{recipe.name}.yaml'
        compile_kubeflow(recipe, path)
        yield path
