"""Compiles a recipe and submits it to Kubeflow."""

import tempfile
from pathlib import Path

from pipeline.config.recipe import Recipe
from pipeline.kubeflow.client import KubeflowClient
from pipeline.retraining.cron import Schedule


def submit_recipe(recipe: Recipe, schedule: Schedule | None = None) -> str:
    """Compiles a recipe, starts a run or makes or replaces its schedule, and returns URL or ID.

    Scheduled runs train only for a reason, such as new images. Raises ConfigError, also if the
    cluster cannot express the schedule, or KubeflowError.
    """
    if schedule:
        recipe = recipe.for_retraining()
        schedule.kubeflow(recipe.kubeflow.connection.cron_timezone)  # raises before connecting
    client = KubeflowClient(recipe.kubeflow.connection)  # fails before the slow compilation
    from pipeline.kubeflow.compiler import compile_kubeflow  # imports TFX

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f'{recipe.name}.yaml'
        compile_kubeflow(recipe, path)
        if schedule:
            parameters = {'only_when_new': True}
            return client.create_schedule(path, recipe.name, parameters, schedule)
        return client.submit(path, recipe.name, {})
