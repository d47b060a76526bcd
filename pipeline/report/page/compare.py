"""Compares two runs: metrics, slices, data, lineage, recipe."""

from collections.abc import Mapping
from typing import Any

from components.evaluation.results import Estimate
from pipeline.formatting import dotted
from pipeline.report.content.page_data import ReportData
from pipeline.report.page import plots, tables
from pipeline.report.page.classes import class_rows, macro_average

_LISTED_CLASSES = 20  # the others are folded
Pairs = list[tuple[str, Any, Any]]  # name, value in A, value in B


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
        **_of_shared_classes(a, b),
        'curves': plots.training_curves({'B': b.stages, 'A': a.stages}),
        'corruptions': _shared_corruptions(a, b),
        'counts': _pairs(_counts(a), _counts(b), missing=0),
        'origins': _changes(_origin(a), _origin(b)),
        'changes_of_recipe': _changes(a.config, b.config),
    }


def _of_shared_classes(a: ReportData, b: ReportData) -> dict[str, Any]:
    """Curves of both runs and pairs of rows by class; none if their classes differ."""
    runs = {name: run.evaluation for name, run in (('B', b), ('A', a)) if run.evaluation}
    names = {each.classes for each in runs.values()}
    if len(names) != 1:
        return {'plots': (), 'classes': []}
    (classes,) = names
    found = {'plots': plots.ranking({key: each.candidate for key, each in runs.items()}, classes)}
    if len(runs) == 1:
        return {**found, 'classes': []}
    ones, others = (class_rows(runs[key].candidate.confusion, classes) for key in 'AB')
    rows = list(zip(ones, others, strict=True))
    if len(rows) > _LISTED_CLASSES:  # the largest differences first
        rows.sort(key=lambda pair: -abs((pair[0].f1 or 0) - (pair[1].f1 or 0)))
    return {**found, 'classes': rows, 'macro': (macro_average(ones), macro_average(others))}


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


def _shared_corruptions(a: ReportData, b: ReportData) -> list[tuple[str, int, Estimate, Estimate]]:
    """Corruption, severity, accuracy in A, accuracy in B."""
    one, other = (
        {(each.corruption, each.severity): each.accuracy for each in run.robustness.corrupted}
        if run.robustness
        else {}
        for run in (a, b)
    )
    return [(*key, accuracy, other[key]) for key, accuracy in one.items() if key in other]


def _counts(run: ReportData) -> dict[str, int]:
    """Images by split and class, and quarantined images."""
    if run.data is None:
        return {}
    counts = {
        f'{split}, {name}': number
        for split, by_class in run.data.counts.items()
        for name, number in by_class.items()
    }
    return counts | {'quarantined': sum(run.data.bad.values())}


def _origin(run: ReportData) -> dict[str, Any]:
    if run.origin is None:
        return {}
    model, baseline = run.origin.model, run.origin.baseline
    return {
        'data': model.data,
        'spans': model.spans,
        'code': model.code,
        'git commit': model.commit,
        'weights': model.weights,
        'tuned': model.tuned,
        'parents': ', '.join(each.version or each.run for each in run.origin.parents),
        'baseline': baseline.version or baseline.run if baseline else None,
    }


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> Pairs:
    """Dotted keys with different values."""
    return [each for each in _pairs(dotted(a), dotted(b), 'missing') if each[1] != each[2]]


def _pairs(a: Mapping[str, Any], b: Mapping[str, Any], missing: Any) -> Pairs:
    return [(key, a.get(key, missing), b.get(key, missing)) for key in {**a, **b}]
