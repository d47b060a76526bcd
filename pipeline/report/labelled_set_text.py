"""The evaluation of a version on labelled images as text. Imports no TensorFlow."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from components.evaluation.config import slice_name
from components.evaluation.results import OVERALL, Estimate
from components.image_example_gen.sources.base.labels import describe_classes
from pipeline.formatting import unwrapped
from pipeline.report.page import tables
from pipeline.report.page_data import LabelledSet

_LARGE_MATRIX, _MOST = 10, 12  # classes; confusions that are listed of a larger one


def as_text(data: LabelledSet) -> RenderableType:
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
    return Group(
        *map(unwrapped, filter(None, [head, data.describe_comparison(), *data.remarks])),
        *_table('metric', columns[1:], metrics),
        *_table('accuracy on', columns, slices),
        *_table('label, and predictions', answers, rows),
        *_table('most confident mistakes', ('probability', 'predicted', 'label'), mistakes),
    )


def _table(
    first: str, others: Sequence[str], rows: Iterable[Sequence[str]]
) -> tuple[RenderableType, ...]:
    """An empty line and a table; nothing without rows."""
    table = Table(box=None, pad_edge=False)
    table.add_column(first, overflow='fold')
    for column in others:
        table.add_column(escape(column), overflow='fold', justify='right')
    for row in rows:
        table.add_row(*map(escape, row))
    return (Text(), table) if table.row_count else ()


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ''
    return f'{estimate.low:.4f} to {estimate.high:.4f}'


def _number(value: float | None) -> str:
    return '-' if value is None else f'{value:.4f}'
