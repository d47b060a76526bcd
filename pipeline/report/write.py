"""Writes the page of a run that came to its end."""

import logging
import traceback
from pathlib import Path

from common.files import write_atomically
from pipeline.config.recipe import Recipe
from pipeline.execution.launch import NodeResult
from pipeline.execution.outcome import Outcome
from pipeline.report.content.embedded_images import pictures_of
from pipeline.report.content.gather import gather
from pipeline.report.page.render import render_page
from pipeline.report.store import keep

_log = logging.getLogger(__name__)


def write_report(
    path: Path, recipe: Recipe, results: dict[str, NodeResult], outcome: Outcome, seconds: float
) -> bool:
    """Writes the page, and keeps it among those of the earlier runs.

    One that cannot be written is told, and is no failure of the run: its model may be live by now.

    Args:
        path: of one more copy; folders are made.
        recipe: of the run.
        results: of its components, by node id.
        outcome: the verdict.
        seconds: all of them.

    Returns:
        Whether it is written.
    """
    try:
        data = gather(recipe, results, outcome, seconds)
        page = render_page(data, pictures_of(results, data))
        keep(recipe.home, data, page, recipe.report.keep)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, page)
    except Exception as error:  # whatever it is
        traceback.print_exc()  # for the log
        _log.warning('the page of the run cannot be written: %s: %s', type(error).__name__, error)
        return False
    return True
