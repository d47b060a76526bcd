"""Compares two runs: metrics, slices, and the keys of the recipe that changed."""

from typing import Any

from pipeline.formatting import dotted
from pipeline.report.page import tables
from pipeline.report.page_data import ReportData


def compare(a: ReportData, b: ReportData) -> dict[str, Any]:
    """Variables of the template; a difference is the second run minus the first."""
    one, other = a.evaluation.candidate, b.evaluation.candidate
    shared = {(each.feature, each.name) for each in one.slices}
    rows = tables.slice_rows(other, one, {}, 0)
    difference = _difference(a, b)
    return {
        'not_comparable': difference,
        'metrics': tables.metric_rows(other, one, subtracted=not difference),
        **tables.slice_variables([row for row in rows if (row.feature, row.name) in shared]),
        'changes': _changes(a, b),
    }


def _difference(a: ReportData, b: ReportData) -> str | None:
    """Why metrics of two runs cannot be subtracted, a clause; None if they can."""
    if a.evaluation.classes != b.evaluation.classes:
        return 'the models have different classes'
    judged = [(run.test_images, run.held_out.kept) for run in (a, b)]
    if judged[0] != judged[1]:
        return 'the models were evaluated on different test images'
    return None


def _changes(a: ReportData, b: ReportData) -> list[tuple[str, Any, Any]]:
    """Dotted keys of the recipe with their values in both runs, and other causes of a change."""
    one, other = (_causes(run) for run in (a, b))
    pairs = [(key, one.get(key, 'missing'), other.get(key, 'missing')) for key in {**one, **other}]
    return [each for each in pairs if each[1] != each[2]]


def _causes(run: ReportData) -> dict[str, Any]:
    images = {f'images of {name}': sum(each.values()) for name, each in run.data.counts.items()}
    model = run.origin.model
    return {**dotted(run.config), **images, 'spans': model.spans, 'code': model.code}
