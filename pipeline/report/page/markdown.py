"""A run as Markdown, for the clipboard: gate decision, metrics, classes, confusions; no links.

Follows GitHub Flavored Markdown. Names come from folders and recipes, so that they are escaped.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from components.evaluation.gate.verdict import Verdict
from components.evaluation.results import Estimate, Evaluation
from pipeline.formatting import describe_remedies
from pipeline.report.content.page_data import ReportData
from pipeline.report.page.classes import class_rows, confusions, macro_average
from pipeline.report.page.tables import MetricRow

_MOST_COLUMNS, _MOST_CONFUSIONS = 20, 20
_SPECIAL = re.compile(r'([\\`*_<>\[\]|&~@#!])')
_ADDRESS = re.compile(r'(?i):(?=//)|www(?=\.)')  # which renderers turn into links
_PLAIN = re.compile(r'[^\W_]([ -]?[^\W_])*')  # letters and digits, in words
_MISSING = '–'  # noqa: RUF001


def as_markdown(data: ReportData, metrics: Sequence[MetricRow], accept: str | None) -> str:
    """Formats the report of a run; `accept` is the command that accepts a rejected model."""
    state = data
    version = f', version {state.version}' if state.version else ''
    lines = [
        f'## {_text(data.recipe)}: run {_text(data.id)}',
        f'**{state.word}**{version}' + (f', {_text(data.description)}' if data.description else ''),
        _list(_rulings(state.verdict)),
    ]
    if state.manual_override:
        lines.append(f'Manual override: {_text(state.manual_override)}')
    elif not state.blessed and state.verdict.remedies:
        advice = describe_remedies(state.verdict.remedies, state.verdict.settings)
        lines.append(f'Remedy: {_text(advice)}')
    if accept:
        lines += ['Command that accepts this model:', _code_block(accept)]
    if data.evaluation:
        lines += _evaluation(data.evaluation, metrics)
    return '\n\n'.join(filter(None, lines)) + '\n'


def _rulings(verdict: Verdict) -> Iterator[str]:
    """The rules that block the model first."""
    for ruling in sorted(verdict.rulings, key=lambda each: not each.blocks):
        yield f'{ruling.result}: {_text(ruling.reason)}'


def _evaluation(found: Evaluation, metrics: Sequence[MetricRow]) -> Iterator[str]:
    yield f'### Metrics on {found.candidate.overall.images:,} test images'
    header = ['metric', 'this model', '95 % interval']
    rows = [[row.label, *_estimate(row.one)] for row in metrics]
    if found.baseline:
        header += ['live before', '95 % interval']
        rows = [[*row, *_estimate(each.other)] for row, each in zip(rows, metrics, strict=True)]
    yield _table(header, rows)

    matrix = found.candidate.confusion
    classes = class_rows(matrix, found.classes)
    yield '### Classes'
    yield _table(
        ['class', 'images', 'precision', 'recall', 'F1'],
        [
            [name, str(row.images), *map(_number, (row.precision.value, row.recall.value, row.f1))]
            for name, row in [
                *((_name(row.name), row) for row in classes),
                ('macro average', macro_average(classes)),
            ]
        ],
    )
    if len(found.classes) <= _MOST_COLUMNS:
        yield '### Confusion matrix: labels in rows, predictions in columns'
        names = [_name(each) for each in found.classes]
        rows = [[name, *map(str, row)] for name, row in zip(names, matrix, strict=True)]
        yield _table(['label', *names], rows)
    elif mistakes := confusions(matrix, found.classes):
        yield f'### Most frequent of {len(mistakes):,} confusions'
        yield _table(
            ['label', 'predicted', 'images'],
            [
                [_name(label), _name(predicted), str(images)]
                for label, predicted, images in mistakes[:_MOST_CONFUSIONS]
            ],
        )


def _estimate(found: Estimate) -> tuple[str, str]:
    if found.low is None or found.high is None:
        return _number(found.value), ''
    return _number(found.value), f'{_number(found.low)} to {_number(found.high)}'


def _number(value: float | None) -> str:
    return _MISSING if value is None else f'{value:.4f}'


def _list(items: Iterable[str]) -> str:
    return '\n'.join(f'- {each}' for each in items)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, with its first column to the left and the others to the right."""
    rule = [':--', *['--:'] * (len(header) - 1)]
    return '\n'.join(f'| {" | ".join(row)} |' for row in (header, rule, *rows))


def _text(text: str) -> str:
    """A sentence, without any markup of its own."""
    escaped = _SPECIAL.sub(r'\\\1', ' '.join(text.split()))
    return _ADDRESS.sub(r'\g<0>\\', escaped)


def _name(name: str) -> str:
    """The name of a class in a table: as it is, or as code if it may have a meaning in Markdown."""
    if _PLAIN.fullmatch(name):
        return name
    # A pipe ends a cell, also within code, unless an odd number of backslashes is before it.
    piped = re.sub(r'(\\*)\|', r'\1\1\\|', ' '.join(name.split()))
    fence = '`' * (max(map(len, re.findall('`+', piped)), default=0) + 1)
    space = ' ' if piped.startswith('`') or piped.endswith('`') else ''
    return f'{fence}{space}{piped}{space}{fence}'


def _code_block(text: str) -> str:
    fence = '`' * max(3, max(map(len, re.findall('`+', text)), default=0) + 1)
    return f'{fence}sh\n{text}\n{fence}'
