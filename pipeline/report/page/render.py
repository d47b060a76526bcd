"""From what is known of a run, or of two, to a page: one file that fetches nothing."""

from collections.abc import Mapping
from typing import Any

import jinja2
import yaml

from components.evaluation.config import EvaluationConfig
from components.evaluation.results import Estimate, ModelResult
from pipeline.report.content.page_data import Pictures, ReportData
from pipeline.report.page import plots as figures
from pipeline.report.page import tables
from pipeline.report.page.card import model_card
from pipeline.report.page.compare import compare

THIS, BASELINE = 'this model', 'last blessed'
_MOST_CLASSES = 12  # in a confusion matrix that can be read


def render_page(data: ReportData, pictures: Pictures) -> str:
    """The page of a run."""
    return (
        _environment()
        .get_template('page.html.j2')
        .render(
            report=data,
            pictures=pictures,
            card=model_card(data),
            config=_yaml(data.config),
            curves=figures.training_curves({'': data.stages}),
            longest=max((each.seconds for each in data.components), default=1),
            **_evaluated(data),
            **_robustness(data),
        )
    )


def render_comparison(one: ReportData, other: ReportData) -> str:
    """The page that sets two runs side by side."""
    return (
        _environment()
        .get_template('comparison.html.j2')
        .render(a=one, b=other, **compare(one, other))
    )


def _evaluated(data: ReportData) -> dict[str, Any]:
    """What the sections on metrics and slices need."""
    found = data.evaluation
    if found is None:
        return {'metrics': [], 'slices': [], 'plots': (), 'confusions': []}
    models: Mapping[str, ModelResult] = {THIS: found.candidate} | (
        {BASELINE: found.baseline} if found.baseline else {}
    )
    judged = data.config.get('evaluation', {})
    least = judged.get('min_images', EvaluationConfig().min_images)
    slices = tables.slice_rows(found.candidate, found.baseline, judged.get('floors', {}), least)
    return {
        'metrics': tables.metric_rows(found.candidate, found.baseline),
        'slices': slices,
        'min_images': least,
        'lowest': tables.lowest_shown(slices),
        'plots': (figures.roc(models), figures.precision_recall(models)),
        'calibration': figures.calibration(found),
        'confusions': tables.confusions(found.candidate.confusion, found.classes),
        'whole_matrix': len(found.classes) <= _MOST_CLASSES,
    }


def _robustness(data: ReportData) -> dict[str, Any]:
    return {'corruptions': list(tables.corruption_rows(data.robustness)) if data.robustness else []}


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader('pipeline.report.page'),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        'number': number,
        'percent': percent,
        'interval': interval,
        'signed': signed,
        'moment': moment,
        'thousands': lambda value: f'{value:,}',
    }
    return environment


def number(value: float | None, digits: int = 4) -> str:
    """A dash where there is no number."""
    return '–' if value is None else f'{value:.{digits}f}'  # noqa: RUF001


def percent(value: float | None, digits: int = 1) -> str:
    """A share, as 93.5%."""
    return '–' if value is None else f'{value:.{digits}%}'  # noqa: RUF001


def interval(estimate: Estimate) -> str:
    """Both ends of it; nothing if it has none."""
    if estimate.low is None or estimate.high is None:
        return ''
    return f'{estimate.low:.4f}–{estimate.high:.4f}'  # noqa: RUF001


def signed(value: float | None, digits: int = 4) -> str:
    """A difference with its sign, a true minus."""
    if value is None:
        return ''
    text = f'{value:+.{digits}f}'
    return text.replace('-', '−') if float(text) else '0'  # noqa: RUF001


def moment(value: Any) -> str:
    """A time as a person reads it."""
    return f'{value:%Y-%m-%d %H:%M} {value:%Z}'.strip()


def _yaml(config: dict[str, Any]) -> str:
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
