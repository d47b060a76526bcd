"""Compares two runs: metrics, slices, data, lineage, recipe."""

from collections.abc import Mapping
from typing import Any

from components.evaluation.results import Estimate, ModelResult, Robustness
from pipeline.formatting import dotted
from pipeline.report.content.page_data import ReportData
from pipeline.report.page import plots, tables

Changes = list[tuple[str, Any, Any]]  # dotted key, value in A, value in B
_MISSING = 'missing'


def compare(a: ReportData, b: ReportData) -> dict[str, Any]:
    """Variables of the template; a difference is the second run minus the first."""
    one, other = _model(a), _model(b)
    models = {name: model for name, model in (('B', other), ('A', one)) if model}
    slices = _shared_slices(one, other)
    return {
        'metrics': tables.metric_rows(other, one),
        'slices': slices,
        'lowest': tables.lowest_shown(slices),
        'plots': (plots.roc(models), plots.precision_recall(models)) if models else (),
        'curves': plots.training_curves({'B': b.stages, 'A': a.stages}),
        'corruptions': _shared_corruptions(a.robustness, b.robustness),
        'counts': _counts(a, b),
        'origins': _origins(a, b),
        'changes_of_recipe': _changes(a.config, b.config),
    }


def _model(run: ReportData) -> ModelResult | None:
    return run.evaluation.candidate if run.evaluation else None


def _shared_slices(a: ModelResult | None, b: ModelResult | None) -> list[tables.SliceRow]:
    if a is None or b is None:
        return []
    shared = {(each.feature, each.name) for each in a.slices}
    rows = tables.slice_rows(b, a, {}, 0)
    return [each for each in rows if (each.feature, each.name) in shared]


def _shared_corruptions(
    a: Robustness | None, b: Robustness | None
) -> list[tuple[str, int, Estimate, Estimate]]:
    """Corruption, severity, accuracy in A, accuracy in B."""
    if a is None or b is None:
        return []
    others = {(each.corruption, each.severity): each.accuracy for each in b.corrupted}
    return [
        (each.corruption, each.severity, each.accuracy, others[each.corruption, each.severity])
        for each in a.corrupted
        if (each.corruption, each.severity) in others
    ]


def _counts(a: ReportData, b: ReportData) -> list[tuple[str, int, int]]:
    """Images by split and class, and quarantined images, in A and B."""
    one, other = _numbers(a), _numbers(b)
    return [(key, one.get(key, 0), other.get(key, 0)) for key in dict.fromkeys([*one, *other])]


def _numbers(run: ReportData) -> dict[str, int]:
    if run.data is None:
        return {}
    numbers = {
        f'{split}, {name}': number
        for split, by_class in run.data.counts.items()
        for name, number in by_class.items()
    }
    return numbers | {'quarantined': sum(run.data.bad.values())}


def _origins(a: ReportData, b: ReportData) -> Changes:
    exclude = {'trained', 'trained_by'}
    return _changes(
        *(
            run.origin.model_dump(mode='json', exclude=exclude) if run.origin else {}
            for run in (a, b)
        )
    )


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> Changes:
    one, other = dotted(a), dotted(b)
    return [
        (key, one.get(key, _MISSING), other.get(key, _MISSING))
        for key in dict.fromkeys([*one, *other])
        if one.get(key, _MISSING) != other.get(key, _MISSING)
    ]
