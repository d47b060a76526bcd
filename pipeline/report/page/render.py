"""Renders the report of a run, and of an evaluation, as one self-contained HTML file."""

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import yaml

from components.evaluation.config import slice_name
from components.evaluation.results import Estimate, Evaluation
from pipeline.report.page import plots, tables
from pipeline.report.page_data import LabelledSet, PageImages, ReportData

_SCRIPT = Path(__file__).parent / 'templates' / 'page.js'
_MISSING = '–'  # noqa: RUF001


class Words(NamedTuple):
    """What the sections of an evaluation call its models and images."""

    this: str
    other: str
    images: str  # after `On 402 images`
    compared: str  # a sentence, if there is another model
    alone: str  # a sentence, if there is none


_OF_RUN = Words(
    this='this model',
    other='reference',
    images=' of the test split, which is not used for training',
    compared='The reference model is evaluated on the same images.',
    alone='There was no reference model of these classes to compare with.',
)


def render_page(data: ReportData, images: PageImages) -> str:
    """Renders the report of a run."""
    config, classes = data.config['evaluation'], data.evaluation.classes
    losses = [(each.loss, each.corruption) for each in data.robustness.corrupted]
    return _template('page.html.j2').render(
        report=data,
        images=images,
        comparison=data.gate.comparison,
        config=yaml.safe_dump(data.config, sort_keys=False, allow_unicode=True),
        **_evaluation_variables(data.evaluation, _OF_RUN, config['floors'], config['min_images']),
        worst=max((each for each in losses if each[0] > 0), default=None),
        totals={name: sum(n.get(name, 0) for n in data.data.counts.values()) for name in classes},
        curves=plots.training_curves(data.stages),
    )


def render_labelled_set(data: LabelledSet, images: PageImages, min_images: int) -> str:
    """Renders the evaluation of a version on labelled images."""
    other = f'version {data.against}'
    words = Words(
        this=f'version {data.version}',
        other=other,
        images='',
        compared=f'{other.capitalize()} is evaluated on the same images.',
        alone='',
    )
    return _template('labelled_set.html.j2').render(
        report=data,
        images=images,
        comparison=data.comparison,
        **_evaluation_variables(data.evaluation, words, {}, min_images),
    )


def _evaluation_variables(
    evaluation: Evaluation, words: Words, floors: Mapping[str, float], min_images: int
) -> dict[str, Any]:
    """Variables of the sections from metrics to mistakes, which both pages have."""
    candidate, other, classes = evaluation.candidate, evaluation.reference, evaluation.classes
    models = {words.this: candidate, **({words.other: other} if other else {})}
    by_class = tables.class_rows(candidate.confusion, classes)
    slices = tables.slice_rows(candidate, other, floors, min_images)
    return {
        'words': words,
        'metrics': tables.metric_rows(candidate, other),
        'by_class': by_class,
        'weakest': sorted(by_class, key=lambda row: (not row.images, row.f1 is None, row.f1)),
        'confusions': tables.confusions(candidate.confusion, classes),
        **tables.slice_variables(slices),
        'min_images': min_images,
        'plots': (*plots.ranking(models, classes), plots.calibration(evaluation, words.this)),
    }


@functools.cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader('pipeline.report.page'),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        'number': _number,
        'percent': _percent,
        'interval': _interval,
        'signed': _signed,
        'moment': _moment,
        'thousands': '{:,}'.format,
        'json': json.dumps,
        'shortened': _shortened,
    }
    script = _SCRIPT.read_text(encoding='utf-8')
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment.globals |= {'script': script, 'script_hash': digest, 'slice_name': slice_name}
    return environment.get_template(name)


def _number(value: float | None, digits: int = 4) -> str:
    return _MISSING if value is None else f'{value:.{digits}f}'


def _percent(value: float | None, digits: int = 1) -> str:
    return _MISSING if value is None else f'{value:.{digits}%}'


def _interval(estimate: Estimate, digits: int = 4) -> str:
    if estimate.low is None or estimate.high is None:
        return ''
    return f'{estimate.low:.{digits}f}–{estimate.high:.{digits}f}'  # noqa: RUF001


def _shortened(name: str, most: int = 24) -> str:
    return name if len(name) <= most else f'{name[: most - 1]}…'


def _signed(value: float | None, digits: int = 4) -> str:
    """A difference with its sign, with U+2212 as minus; empty if it is missing."""
    if value is None:
        return ''
    text = f'{value:+.{digits}f}'
    return text.replace('-', '−') if float(text) else '0'  # noqa: RUF001


def _moment(value: Any) -> str:
    """A time to the minute, with its time zone."""
    return f'{value:%Y-%m-%d %H:%M} {value:%Z}'.strip()
