"""Renders the report of a run or a comparison as one self-contained HTML file."""

import functools
import re
from typing import Any

import jinja2
import yaml

from components.evaluation.config import slice_name
from components.evaluation.results import Estimate
from pipeline.report.content.page_data import PageImages, ReportData
from pipeline.report.page import plots, tables
from pipeline.report.page.compare import compare

_VERDICT = re.compile('<section class="verdict .*?</section>', re.DOTALL)  # has none inside
_MISSING = '–'  # noqa: RUF001


def render_page(data: ReportData, images: PageImages) -> str:
    """Renders the report of a run."""
    return _render(
        'page.html.j2',
        report=data,
        images=images,
        config=yaml.safe_dump(data.config, sort_keys=False, allow_unicode=True),
        curves=plots.training_curves({'': data.stages}),
        corruptions=list(tables.corruption_rows(data.robustness)) if data.robustness else [],
        **_evaluation(data),
    )


def replace_verdict(page: str, data: ReportData) -> str:
    """Replaces the section with the gate decision in the page of a run."""
    variables = {'report': data, 'standing': data.standing, 'metrics': _metrics(data)}
    section = _render('sections/verdict.html.j2', **variables).strip()
    return _VERDICT.sub(lambda _: section, page, count=1)


def render_comparison(one: ReportData, other: ReportData) -> str:
    """Renders the comparison of two runs."""
    return _render('comparison.html.j2', a=one, b=other, **compare(one, other))


def _evaluation(data: ReportData) -> dict[str, Any]:
    """Template variables of metrics, predictions and slices."""
    found = data.evaluation
    if found is None:
        return {'metrics': [], 'slices': []}
    models = {'this model': found.candidate}
    if found.baseline:
        models['live'] = found.baseline
    config = data.config['evaluation']
    min_images = config['min_images']
    slices = tables.slice_rows(found.candidate, found.baseline, config['floors'], min_images)
    return {
        'metrics': _metrics(data),
        'slices': slices,
        'min_images': min_images,
        'lowest': tables.lowest_shown(slices),
        'plots': (*plots.ranking(models), plots.calibration(found)),
        'confusions': tables.confusions(found.candidate.confusion, found.classes),
    }


def _metrics(data: ReportData) -> list[tables.MetricRow]:
    found = data.evaluation
    return tables.metric_rows(found.candidate, found.baseline) if found else []


def _render(template: str, **variables: Any) -> str:
    return make_environment().get_template(template).render(variables)


@functools.cache
def make_environment(templates: jinja2.BaseLoader | None = None) -> jinja2.Environment:
    """The environment of the pages; `templates` finds templates besides those of this package."""
    loaders = [templates] if templates else []
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([*loaders, jinja2.PackageLoader('pipeline.report.page')]),
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
    }
    environment.tests['apart'] = tables.is_apart
    environment.globals['slice_name'] = slice_name
    return environment


def _number(value: float | None, digits: int = 4) -> str:
    return _MISSING if value is None else f'{value:.{digits}f}'


def _percent(value: float | None, digits: int = 1) -> str:
    return _MISSING if value is None else f'{value:.{digits}%}'


def _interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ''
    return f'{estimate.low:.4f}–{estimate.high:.4f}'  # noqa: RUF001


def _signed(value: float | None, digits: int = 4) -> str:
    """A difference with its sign, with U+2212 as minus; empty if it is missing."""
    if value is None:
        return ''
    text = f'{value:+.{digits}f}'
    return text.replace('-', '−') if float(text) else '0'  # noqa: RUF001


def _moment(value: Any) -> str:
    """A time to the minute, with its time zone."""
    return f'{value:%Y-%m-%d %H:%M} {value:%Z}'.strip()
