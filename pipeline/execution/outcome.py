"""Outcome of a run: read from the artifacts of its components, printed, and written as JSON."""

import dataclasses
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pydantic
from rich.console import Group
from rich.table import Table
from rich.text import Text

from common import console
from common.artifacts import SERVED, folder_of
from common.blessing import read_override
from common.console import styled
from common.metadata_queries import custom_property
from components.evaluation.gate.rules import baseline_accuracy
from components.evaluation.gate.verdict import VERDICT, read_verdict
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.evaluation.results import (
    ACCURACY,
    AUC,
    BALANCED_ACCURACY,
    BRIER,
    ECE,
    Estimate,
)
from components.inference.model_folder import read_classes
from components.pusher.serving_folder import versions_in
from pipeline.config.recipe import Recipe
from pipeline.execution.compilation import display_name
from pipeline.execution.launch import NodeResult
from pipeline.execution.run_artifacts import Images, predictions_table, read_images
from pipeline.formatting import describe_remedies
from pipeline.registry.provenance import GATE

SHORT_SECONDS = 0.1  # components that take less are listed without a duration

_PRINTED_METRICS = {
    BALANCED_ACCURACY: 'balanced accuracy',
    AUC: 'AUC',
    ECE: 'ECE',
    BRIER: 'Brier score',
}

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Result of a completed run."""

    run_id: str  # pipeline run id in ML Metadata
    model: str  # folder of the Trainer's model
    blessed: bool  # whether the gate, or a manual override of it, blesses the model
    unchanged: bool  # whether the model was already live
    # Of the candidate on the test split, 0 to 1; None if its predictions are NaN
    accuracy: float | None
    baseline_accuracy: float  # minimum accuracy, see `evaluation.baseline_accuracy`
    # Of the live model on the same images; None without one
    previous_accuracy: float | None
    reasons: tuple[str, ...]  # why the model is not blessed, a clause each; empty if it is
    pushed_to: Path | None  # folder of the pushed model; None if it was not pushed
    # The version that a model server loads; None if the folder has none
    newest_version: Path | None
    images: Images | None = None  # image counts; None if the run imports ready-made TFRecords
    # Anomalies and drift above the thresholds of `validation`, a clause each
    warnings: tuple[str, ...] = ()
    # Metrics of the candidate on the test split, by the names in `results.METRICS`
    metrics: Mapping[str, Estimate] = dataclasses.field(default_factory=dict)
    # Description of the manual override of the model; None without one
    manual_override: str | None = None
    remedies: tuple[str, ...] = ()  # what improves a model that the gate rejected, a clause each
    # Keys of the recipe with values that bless it; empty if there are none
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def with_warnings(self, warnings: Iterable[str]) -> 'Outcome':
        """A copy with further warnings."""
        return dataclasses.replace(self, warnings=(*self.warnings, *warnings))


def read_outcome(run_id: str, results: dict[str, NodeResult], recipe: Recipe) -> Outcome:
    """Reads gate decision, metrics and push from the artifacts of a completed run."""
    model = folder_of(results['Trainer'].outputs['model'][0].uri)
    metrics = read_evaluation(
        folder_of(results['Evaluator'].outputs['evaluation'][0].uri),
        read_classes(model / SERVED),
        recipe.trainer.threshold,
    )
    candidate = metrics.candidate.overall.metrics
    previous = metrics.baseline.overall.metrics[ACCURACY].value if metrics.baseline else None
    verdict = read_verdict(folder_of(results[GATE].outputs[VERDICT][0].uri))
    override = read_override(model)
    blessed = override.blessed if override else verdict.blessed
    manual_override = override.describe() if override else None
    rejected = not blessed and not override  # by the gate
    pushed = results['Pusher'].outputs['pushed_model'][0]
    is_pushed = custom_property(pushed, 'pushed')
    destination = custom_property(pushed, 'pushed_destination') if is_pushed else None
    return Outcome(
        run_id=run_id,
        model=str(model),
        blessed=blessed,
        unchanged=results['Pusher'].cached or custom_property(pushed, 'unchanged') == 1,
        accuracy=candidate[ACCURACY].value,
        baseline_accuracy=baseline_accuracy(recipe.evaluation, metrics),
        previous_accuracy=previous,
        reasons=() if blessed else (manual_override,) if manual_override else verdict.objections,
        pushed_to=Path(str(destination)) if destination else None,
        newest_version=next(reversed(versions_in(recipe.serving_directory)), None),
        images=read_images(results),
        warnings=read_warnings(results),
        metrics=candidate,
        manual_override=manual_override,
        remedies=verdict.remedies if rejected else (),
        settings=verdict.settings if rejected else {},
    )


def logged_outcome(outcome: Outcome, results: dict[str, NodeResult]) -> dict[str, Any]:
    """The outcome as attributes of `run_log.LoggedRun`."""
    return {
        'result': 'blessed' if outcome.blessed else 'not blessed',
        'reason': next(iter(outcome.reasons), ''),
        'accuracy': outcome.accuracy,
        'model': results['Trainer'].outputs['model'][0].uri,
        'version': outcome.pushed_to.name if outcome.pushed_to else None,
        'unchanged': outcome.unchanged,
    }


def read_warnings(results: dict[str, NodeResult]) -> tuple[str, ...]:
    """Reads the warnings of AnomalyGate, which may be cached from an earlier run."""
    (artifact,) = results['AnomalyGate'].outputs['warnings']
    return tuple(json.loads(folder_of(artifact.uri).read_text(encoding='utf-8')))


def show_outcome(
    results: dict[str, NodeResult], outcome: Outcome, seconds: float, page: Path | None = None
) -> None:
    """Prints durations, image counts, report path, warnings, metrics, and last the decision.

    `seconds` is the duration of the run, with imports; `page` is None if no report was written.
    """
    _show_durations(results.values(), seconds)
    if outcome.images:
        _show_images(outcome.images)
    if table := predictions_table(results):
        _log.info('predictions for unlabelled images: %s', table)
    if page:
        _log.info('report: %s', page)
    for warning in outcome.warnings:
        _log.warning(warning)
    if outcome.metrics.keys() & _PRINTED_METRICS.keys():
        _log.info(_format_metrics(outcome.metrics))
    previous = outcome.previous_accuracy
    _log.info(
        'test accuracy %s (baseline %.4f, %s)',
        'NaN' if outcome.accuracy is None else f'{outcome.accuracy:.4f}',
        outcome.baseline_accuracy,
        'no previous model of these classes'
        if previous is None
        else f'previous model {previous:.4f}',
    )
    if not outcome.blessed:
        style = styled('NOT BLESSED', 'bold red', always=True)
        _log.info('NOT BLESSED: %s', '; '.join(outcome.reasons), extra=style)
        if outcome.remedies:
            _log.info('remedy: %s', describe_remedies(outcome.remedies, outcome.settings))
        return
    if outcome.manual_override:
        _log.info(outcome.manual_override)
    style = styled('BLESSED', 'bold green', always=True)
    _log.info('BLESSED%s', _destination(outcome), extra=style)


def _show_durations(results: Iterable[NodeResult], seconds: float) -> None:
    """Prints a table of durations; cached and short components share a line each."""
    table = Table(box=None, pad_edge=False)
    table.add_column('component')
    table.add_column('time', justify='right')
    cached: list[str] = []
    short: list[str] = []
    for result in results:
        name = display_name(result.node_id)
        if result.cached:
            cached.append(name)
        elif result.seconds < SHORT_SECONDS:
            short.append(name)
        else:
            table.add_row(name, f'{result.seconds:,.1f} s')
    table.add_row('total, with imports', f'{seconds:,.1f} s')
    console.show(Group('', table))
    for names, state in (short, f'under {SHORT_SECONDS} s'), (cached, 'cached'):
        if names:
            plural = 's' if len(names) > 1 else ''
            _log.info('%s component%s %s: %s', len(names), plural, state, ', '.join(names))
    console.show(Text())


def _show_images(images: Images) -> None:
    tally = images.tally
    _log.info('; '.join([f'{tally.used:,} of {tally.seen:,} images used', *tally.clauses()]))
    with console.indented():
        for path in images.lists:
            _log.info('quarantined: %s', path)


def _format_metrics(metrics: Mapping[str, Estimate]) -> str:
    """`AUC 0.981 (0.972 to 0.990), ...`, without metrics that are undefined for the split."""
    estimates = [
        f'{name} {_format_estimate(metrics[key])}'
        for key, name in _PRINTED_METRICS.items()
        if key in metrics
    ]
    return f'{", ".join(estimates)}; 95 % confidence intervals in parentheses'


def _format_estimate(estimate: Estimate) -> str:
    if estimate.value is None:
        return 'NaN'
    if estimate.low is None or estimate.high is None:
        return f'{estimate.value:.3f}'
    return f'{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})'


def _destination(outcome: Outcome) -> str:
    """The end of the line that starts with BLESSED: where the model is."""
    if outcome.pushed_to != outcome.newest_version:
        how = 'unchanged: pushed earlier to' if outcome.unchanged else 'and pushed to'
        newest = outcome.newest_version or 'none'
        return f', {how} {outcome.pushed_to}, but the newest version there is {newest}'
    if outcome.unchanged:
        return f', unchanged; live in {outcome.pushed_to}'
    return f' and pushed to {outcome.pushed_to}'


def write_summary(
    path: Path, results: dict[str, NodeResult], outcome: Outcome, seconds: float
) -> None:
    """Writes outcome and durations of a run as JSON, in ASCII: names may be undecodable."""
    components = {
        display_name(result.node_id): {'seconds': result.seconds, 'cached': result.cached}
        for result in results.values()
    }
    summary = {'seconds': seconds, 'components': components, **dataclasses.asdict(outcome)}
    path.write_text(json.dumps(summary, indent=1, default=_serializable, allow_nan=False))


def _serializable(value: Any) -> Any:
    """An Estimate as a dictionary, a Path as a string."""
    return value.model_dump() if isinstance(value, pydantic.BaseModel) else str(value)
