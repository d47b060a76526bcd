"""Logs a completed run for TensorBoard, and to MLflow if the recipe has a server."""

import traceback
from collections.abc import Iterator

import tensorflow as tf

from pipeline.config.recipe import Recipe
from pipeline.report.page_data import ReportData
from pipeline.report.store import page_of
from pipeline.tracking.event_files import write_events
from pipeline.tracking.mlflow_run import log_to_mlflow


def track(recipe: Recipe, run: ReportData) -> Iterator[str]:
    """Logs a run whose report is stored, and yields problems, a sentence each.

    They do not fail the run, because its model may be live already.
    """
    try:
        write_events(recipe.home, run)
    except (OSError, tf.errors.OpError) as error:  # TensorFlow has its own error for a full disk
        traceback.print_exc()  # into the log file of the run
        yield f'the event files of TensorBoard cannot be written: {error}'
    if recipe.mlflow:
        problem = log_to_mlflow(recipe.mlflow, run, page_of(recipe.home, run.id))
        if problem:
            yield problem
