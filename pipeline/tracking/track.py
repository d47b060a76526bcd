"""Logs a completed run to MLflow if the recipe has a server."""

from collections.abc import Iterator

from pipeline.config.recipe import Recipe
from pipeline.report.page_data import ReportData
from pipeline.report.store import page_of
from pipeline.tracking.mlflow_run import log_to_mlflow


def track(recipe: Recipe, run: ReportData) -> Iterator[str]:
    """Logs a run whose report is stored, and yields problems, a sentence each.

    They do not fail the run, because its model may be live already.
    """
    if recipe.mlflow:
        problem = log_to_mlflow(recipe.mlflow, run, page_of(recipe.home, run.id))
        if problem:
            yield problem
