"""Writes the page of a run that came to its end."""

from pathlib import Path

from pipeline.config import Recipe
from pipeline.launch import NodeResult
from pipeline.outcome import Outcome
from pipeline.report.gather import gather
from pipeline.report.pictures import pictures_of
from pipeline.report.render import render_page
from pipeline.report.store import keep


def write_report(
    path: Path, recipe: Recipe, results: dict[str, NodeResult], outcome: Outcome, seconds: float
) -> None:
    """Writes the page, and keeps it among those of the earlier runs.

    Args:
        path: of one more copy; folders are made.
        recipe: of the run.
        results: of its components, by node id.
        outcome: the verdict.
        seconds: all of them.
    """
    data = gather(recipe, results, outcome, seconds)
    page = render_page(data, pictures_of(results, data))
    keep(recipe.home, data, page, recipe.report.keep)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding='utf-8')
