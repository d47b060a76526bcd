"""Outcomes of a run and of an evaluation as text. Imports no TensorFlow."""

from rich.console import Group, RenderableType
from rich.text import Text

from components.evaluation.config import slice_name
from components.evaluation.gate.decision import Result
from components.evaluation.results import OVERALL, Estimate
from components.image_example_gen.sources.base.labels import describe_classes
from pipeline.formatting import (
    describe_gate,
    describe_left_out,
    named,
    table,
    time_of,
    unwrapped,
)
from pipeline.report.page import tables
from pipeline.report.page_data import LabelledSet
from pipeline.run.record import Run

_STYLES: dict[Result, str] = {
    'failed': 'bold red',
    'undecided': 'yellow',
    'passed': 'green',
    'not applied': 'dim',
}  # in the order of the rules
_LARGE_MATRIX, _MOST = 10, 12  # classes; confusions that are listed of a larger one


def describe_run(run: Run) -> RenderableType:
    """The state of a run at its end, formatted for the console."""
    style = 'bold green' if run.blessed else 'bold red' if run.gate else 'bold'
    word = str(run.result).upper() if run.gate else str(run.result)
    head = Text.assemble((word, style), f': {run.recipe}, run {run.id}, {time_of(run.started)}')
    facts = {
        'model': run.model,
        'pushed to': run.folder and run.folder + (', unchanged' if run.unchanged else ''),
        'live then': run.live_version and f'version {run.live_version}',
        'trained because': run.decision,
        'spans': named(run.spans).partition(' ')[2],
        'override': run.manual_override,
        'fine-tuning': run.fine_tuning,
        'images': None if run.images is None else f'{run.images:,}',
        'left out': '; '.join(describe_left_out(run.images, run.left_out)),
        'warnings': '; '.join(run.warnings),
        'error': '; '.join(run.reasons) if run.result in ('failed', 'interrupted') else None,
        'webhook': run.webhook_error,
    }
    lines = [unwrapped(f'{name}: {value}') for name, value in facts.items() if value]
    if run.gate is None:
        return Group(head, *lines)
    lines.append(unwrapped(describe_gate(run.gate)))
    lines += [unwrapped(f'note: {remark}') for remark in run.gate.remarks]
    for result, colour in _STYLES.items():
        reasons = [each.reason for each in run.gate.rules if each.result == result]
        lines += [Text.assemble((f'{result:<11} ', colour), reason) for reason in reasons]
    return Group(head, *lines)


def describe_labelled_set(data: LabelledSet) -> RenderableType:
    """Metrics, slices, confusions and mistakes, formatted for the console."""
    found, this = data.evaluation, f'version {data.version}'
    one, other, classes = found.candidate, found.reference, found.classes
    head = f'{this} on {data.data}: {one.overall.images:,} images, {describe_classes(classes)}'
    columns = ('images', this, '95 % interval', *([f'version {data.against}'] if other else []))

    def values(a: Estimate, b: Estimate) -> list[str]:
        return [_number(a.value), _interval(a), *([_number(b.value)] if other else [])]

    metrics = [[row.label, *values(row.one, row.other)] for row in tables.metric_rows(one, other)]
    slices = [
        [slice_name(row.feature, row.name), f'{row.images:,}', *values(row.one, row.other)]
        for row in tables.slice_rows(one, other, {}, 0)
        if row.feature != OVERALL
    ]
    matrix, answers = zip(classes, one.confusion, strict=True), classes
    rows = [[label, *map(str, row)] for label, row in matrix]
    if len(classes) > _LARGE_MATRIX:
        rows = [[*map(str, each)] for each in tables.confusions(one.confusion, classes)[:_MOST]]
        answers = ('predicted', 'images')
    mistakes = [
        [each.filename, _number(each.probability), each.predicted or 'NaN', each.label]
        for each in data.mistakes
    ]
    tables_of = {
        ('metric', *columns[1:]): metrics,
        ('accuracy on', *columns): slices,
        ('label, and predictions', *answers): rows,
        ('most confident mistakes', 'probability', 'predicted', 'label'): mistakes,
    }
    lines = filter(None, [head, data.describe_comparison(), *data.remarks])
    parts: list[RenderableType] = [*map(unwrapped, lines)]
    for names, cells in tables_of.items():
        if cells:
            parts += ['', table(names, cells, names[1:])]
    return Group(*parts)


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ''
    return f'{estimate.low:.4f} to {estimate.high:.4f}'


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.4f}'
