"""Compares two runs: metrics, slices, and the keys of the recipe that changed."""

from typing import Any

from pipeline.formatting import dotted
from pipeline.report.content.page_data import ReportData
from pipeline.report.page import tables


def compare(a: ReportData, b: ReportData) -> dict[str, Any]:
    """Variables of the template; a difference is the second run minus the first."""
    one, other = (run.evaluation.candidate if run.evaluation else None for run in (a, b))
    slices: list[tables.SliceRow] = []
    if one and other:
        shared = {(each.feature, each.name) for each in one.slices}
        rows = tables.slice_rows(other, one, {}, 0)
        slices = [each for each in rows if (each.feature, each.name) in shared]
    difference = _difference(a, b)
    return {
        'not_comparable': difference,
        'metrics': tables.metric_rows(other, one, subtracted=not difference),
        'slices': slices,
        'slice_groups': tables.slice_groups(slices),
        'lowest': tables.lowest_shown(slices),
        'changes': _changes(a, b),
    }


def _difference(a: ReportData, b: ReportData) -> str | None:
    """Why metrics of two runs cannot be subtracted, a clause; None if they can."""
    if not (a.evaluation and b.evaluation):
        return None
    if a.evaluation.classes != b.evaluation.classes:
        return 'the models have different classes'
    if a.test_images is None or b.test_images is None:
        return 'the test images of a run are not known'
    judged = [run.held_out.kept_by_class if run.held_out else None for run in (a, b)]
    if a.test_images != b.test_images or judged[0] != judged[1]:
        return 'the models were evaluated on different test images'
    return None


def _changes(a: ReportData, b: ReportData) -> list[tuple[str, Any, Any]]:
    """Dotted keys of the recipe with their values in both runs, and other causes of a change."""
    one, other = (dotted(run.config) | _origin(run) for run in (a, b))
    pairs = [(key, one.get(key, 'missing'), other.get(key, 'missing')) for key in {**one, **other}]
    return [each for each in pairs if each[1] != each[2]]


def _origin(run: ReportData) -> dict[str, Any]:
    images = (
        {name: sum(each.values()) for name, each in run.data.counts.items()} if run.data else {}
    )
    found: dict[str, Any] = {f'images of {split}': number for split, number in images.items()}
    if run.origin:
        found |= {'spans': run.origin.model.spans, 'code': run.origin.model.code}
    return found
