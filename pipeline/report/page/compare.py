"""What is different between two runs."""

from collections.abc import Mapping
from typing import Any

from components.evaluation.results import METRICS, Estimate, ModelResult, Robustness
from pipeline.report.content.page_data import ReportData
from pipeline.report.page import plots as figures
from pipeline.report.page import tables

Changes = list[tuple[str, str, str]]  # a dotted key, and its value in either run
_ABSENT = 'not there'


def compare(a: ReportData, b: ReportData) -> dict[str, Any]:
    """What the template needs, differences being the second run minus the first."""
    one, other = _model(a), _model(b)
    models = {name: model for name, model in (('B', other), ('A', one)) if model}
    slices = slices_of_both(one, other)
    return {
        'metrics': _metrics(one, other),
        'slices': slices,
        'lowest': tables.lowest_shown(slices),
        'plots': (figures.roc(models), figures.precision_recall(models)) if models else (),
        'curves': figures.training_curves({'B': b.stages, 'A': a.stages}),
        'corruptions': corruptions_of_both(a.robustness, b.robustness),
        'counts': _counts(a, b),
        'origins': _origins(a, b),
        'changes_of_recipe': changed(flat(a.config), flat(b.config)),
    }


def _model(run: ReportData) -> ModelResult | None:
    return run.evaluation.candidate if run.evaluation else None


def _metrics(a: ModelResult | None, b: ModelResult | None) -> list[tables.MetricRow]:
    """The second run's numbers as those of the model, the first one's as what it is compared to."""
    one = a.overall.metrics if a else {}
    other = b.overall.metrics if b else {}
    return [
        tables.metric_row(name, other.get(name, tables.NONE), one.get(name, tables.NONE))
        for name in METRICS
        if name in one or name in other
    ]


def slices_of_both(a: ModelResult | None, b: ModelResult | None) -> list[tables.SliceRow]:
    """Slices that both runs have; a run without an evaluation has none."""
    if a is None or b is None:
        return []
    shared = {(each.feature, each.name) for each in a.slices}
    rows = tables.slice_rows(b, a, {}, 0)
    return [each for each in rows if (each.feature, each.name) in shared]


def corruptions_of_both(
    a: Robustness | None, b: Robustness | None
) -> list[tuple[str, int, Estimate, Estimate]]:
    """Corruption, severity and accuracy in either run, for those that both have."""
    if a is None or b is None:
        return []
    others = {(each.corruption, each.severity): each.accuracy for each in b.corrupted}
    return [
        (each.corruption, each.severity, each.accuracy, others[each.corruption, each.severity])
        for each in a.corrupted
        if (each.corruption, each.severity) in others
    ]


def _counts(a: ReportData, b: ReportData) -> list[tuple[str, int, int]]:
    """Images by split and class in either run, and how many could not be used."""
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
    return numbers | {'set aside': sum(run.data.bad.values())}


def _origins(a: ReportData, b: ReportData) -> Changes:
    return changed(
        *(
            flat(run.origin.model_dump(mode='json', exclude={'trained', 'trained_by'}))
            if run.origin
            else {}
            for run in (a, b)
        )
    )


def flat(values: Mapping[str, Any], prefix: str = '') -> dict[str, str]:
    """Values by dotted keys."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f'{prefix}{key}.')
        else:
            found[f'{prefix}{key}'] = str(value)
    return found


def changed(one: Mapping[str, str], other: Mapping[str, str]) -> Changes:
    """What differs."""
    return [
        (key, one.get(key, _ABSENT), other.get(key, _ABSENT))
        for key in dict.fromkeys([*one, *other])
        if one.get(key) != other.get(key)
    ]
