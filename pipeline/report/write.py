"""Writes the report of a finished run."""

import logging
import traceback
from pathlib import Path

from common.files import write_atomically
from pipeline.command_line import CommandLine
from pipeline.config.recipe import Recipe
from pipeline.execution.run_artifacts import Results
from pipeline.report.content.embedded_images import page_images
from pipeline.report.content.gather import gather
from pipeline.report.content.page_data import ReportData
from pipeline.report.page.render import render_page
from pipeline.report.store import store_report
from pipeline.run.record import Run

_log = logging.getLogger(__name__)


def write_report(
    path: Path,
    recipe: Recipe,
    results: Results,
    run: Run,
    commands: CommandLine | None = None,
) -> ReportData | None:
    """Writes the report to the reports of the recipe and to `path`.

    The page shows the next one of the `commands`; a run in a cluster has none.
    Returns its data. An error is logged, gives None, and does not fail the run, because its model
    may be live already.
    """
    try:
        data = gather(recipe, results, run).model_copy(update={'commands': commands})
        page = render_page(data, page_images(results, data))
        store_report(recipe.home, data, page, recipe.report.keep)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, page)
    except Exception as error:
        traceback.print_exc()  # into the log file of the run
        _log.warning('the report cannot be written: %s: %s', type(error).__name__, error)
        return None
    return data
