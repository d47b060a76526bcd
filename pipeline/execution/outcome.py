"""How a run ended: read from what its components wrote, and shown to a person."""

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
from rich.console import Group
from rich.table import Table

from common import console, features
from common.artifacts import SERVED, folder_of
from common.blessing import read_override
from common.console import styled
from common.metadata_queries import custom_property
from components.evaluation.gate.verdict import VERDICT, read_verdict
from components.evaluation.metrics.evaluation_files import read_evaluation
from components.evaluation.results import (
    ACCURACY,
    AUC,
    BALANCED_ACCURACY,
    BRIER,
    ECE,
    Estimate,
    ModelResult,
)
from components.pusher.serving_folder import versions_in
from pipeline.config.recipe import Recipe
from pipeline.execution.compilation import display_name
from pipeline.execution.image_counts import Images, read_answers, read_images
from pipeline.execution.launch import NodeResult
from pipeline.registry.provenance import GATE

# What a person is told beside the accuracy.
_SHORT = {BALANCED_ACCURACY: 'balanced accuracy', AUC: 'AUC', ECE: 'ECE', BRIER: 'Brier score'}

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The end of a run.

    Attributes:
        run_id: of the pipeline run, as in the metadata.
        blessed: whether the model may be pushed: no rule says no, or a person said so by hand.
        unchanged: whether the model was live already.
        accuracy: of the candidate on the test split, 0 to 1; None if its answers are no numbers.
        baseline_accuracy: what the recipe asks for.
        previous_accuracy: of the last blessed model on the same images; None if there is none.
        reasons: why it was not blessed, one clause each.
        pushed_to: folder of the pushed model; None if none was pushed.
        newest_version: the folder that a model server would load; None if there is none.
        images: what became of them; None if they came as records that were ready.
        warnings: what moved further than the recipe's `validation` allows, a clause each.
        measures: of the candidate on the test split, by names of `results.METRICS`.
        by_hand: the manual override of the model, as a clause; None if there is none.
    """

    run_id: str
    blessed: bool
    unchanged: bool
    accuracy: float | None
    baseline_accuracy: float
    previous_accuracy: float | None
    reasons: tuple[str, ...]
    pushed_to: Path | None
    newest_version: Path | None
    images: Images | None = None
    warnings: tuple[str, ...] = ()
    measures: Mapping[str, Estimate] = dataclasses.field(default_factory=dict)
    by_hand: str | None = None


def read_outcome(run_id: str, results: dict[str, NodeResult], recipe: Recipe) -> Outcome:
    """Reads verdict, measures and push from the artifacts of a run that came to its end."""
    evaluation = folder_of(results['Evaluator'].outputs['evaluation'][0].uri)
    measured = read_evaluation(evaluation, _classes(results), recipe.trainer.threshold)
    verdict = read_verdict(folder_of(results[GATE].outputs[VERDICT][0].uri))
    override = read_override(folder_of(results['Trainer'].outputs['model'][0].uri))
    blessed = override.blessed if override else verdict.blessed
    by_hand = override.describe() if override else None
    pushed = results['Pusher'].outputs['pushed_model'][0]
    is_pushed = custom_property(pushed, 'pushed')
    destination = custom_property(pushed, 'pushed_destination') if is_pushed else None
    return Outcome(
        run_id=run_id,
        blessed=blessed,
        unchanged=results['Pusher'].cached or custom_property(pushed, 'unchanged') == 1,
        accuracy=_accuracy(measured.candidate),
        baseline_accuracy=recipe.evaluation.baseline_accuracy,
        previous_accuracy=_accuracy(measured.baseline) if measured.baseline else None,
        reasons=() if blessed else (by_hand,) if by_hand else verdict.objections,
        pushed_to=Path(str(destination)) if destination else None,
        newest_version=next(reversed(versions_in(recipe.serving_directory)), None),
        images=read_images(results),
        warnings=_warnings(results),
        measures=measured.candidate.overall.metrics,
        by_hand=by_hand,
    )


def show_outcome(
    results: dict[str, NodeResult], outcome: Outcome, seconds: float, page: Path | None = None
) -> None:
    """Prints a table of the components, where the page of the run is, and last the verdict."""
    table = Table(box=None, pad_edge=False)
    table.add_column('component')
    table.add_column('seconds', justify='right')
    table.add_column('')
    for result in results.values():
        table.add_row(
            display_name(result.node_id), f'{result.seconds:.1f}', 'cached' if result.cached else ''
        )
    table.add_row('everything, with imports', f'{seconds:.1f}', '')
    console.show(Group('', table, ''))
    if outcome.images:
        _show_images(outcome.images)
    if answers := read_answers(results):
        _log.info('images without labels are answered in %s', answers)
    if page:
        _log.info('report: %s', page)
    for warning in outcome.warnings:
        _log.warning(warning)
    if outcome.measures:
        _log.info(_measures(outcome.measures))
    previous = outcome.previous_accuracy
    _log.info(
        'test accuracy %s; baseline %.4f; %s',
        'none' if outcome.accuracy is None else f'{outcome.accuracy:.4f}',
        outcome.baseline_accuracy,
        'no blessed model before' if previous is None else f'last blessed model {previous:.4f}',
    )
    if not outcome.blessed:
        style = styled('NOT BLESSED', 'bold red')
        _log.info('NOT BLESSED: %s', '; '.join(outcome.reasons), extra=style)
        return
    if outcome.by_hand:
        _log.info(outcome.by_hand)
    _log.info('BLESSED%s', _where(outcome), extra=styled('BLESSED', 'bold green'))


def _where(outcome: Outcome) -> str:
    """What follows the word BLESSED: the folder of the model."""
    how = 'unchanged: pushed earlier to' if outcome.unchanged else 'and pushed to'
    if outcome.pushed_to != outcome.newest_version:
        newest = outcome.newest_version or 'none'
        return f', {how} {outcome.pushed_to}, but the newest version there is {newest}'
    if outcome.unchanged:
        return f', unchanged; live in {outcome.pushed_to}'
    return f' {how} {outcome.pushed_to}'


def _measures(measures: Mapping[str, Estimate]) -> str:
    """`AUC 0.981 (0.972 to 0.990), ...`, without what has no meaning for this test split."""
    shown = [f'{_SHORT[key]} {_estimate(measures[key])}' for key in _SHORT if key in measures]
    return ', '.join(shown) + '; 95 % intervals in brackets'


def _estimate(estimate: Estimate) -> str:
    if estimate.value is None:
        return 'none'
    if estimate.low is None or estimate.high is None:
        return f'{estimate.value:.3f}'
    return f'{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})'


def _show_images(images: Images) -> None:
    tally = images.tally
    _log.info('; '.join([f'{tally.used} of {tally.seen} images used', *tally.clauses()]))
    with console.indented():
        for path in images.lists:
            _log.info('set aside: %s', path)


def write_summary(
    path: Path, results: dict[str, NodeResult], outcome: Outcome, seconds: float
) -> None:
    """The same as JSON, for programs."""
    components = {
        display_name(result.node_id): {'seconds': result.seconds, 'cached': result.cached}
        for result in results.values()
    }
    summary = {'seconds': seconds, 'components': components, **dataclasses.asdict(outcome)}
    path.write_text(json.dumps(summary, indent=1, default=_plain, allow_nan=False))


def _plain(value: Any) -> Any:
    """What JSON has no form for."""
    return value.model_dump() if isinstance(value, pydantic.BaseModel) else str(value)


def _warnings(results: dict[str, NodeResult]) -> tuple[str, ...]:
    """What the gate let through and warned of, in this run or the one that it is cached from."""
    (artifact,) = results['AnomalyGate'].outputs['warnings']
    return tuple(json.loads(folder_of(artifact.uri).read_text(encoding='utf-8')))


def _classes(results: dict[str, NodeResult]) -> tuple[str, ...]:
    """Names in the order of the labels, as they lie with the model."""
    model = folder_of(results['Trainer'].outputs['model'][0].uri)
    return tuple(json.loads((model / SERVED / features.CLASSES_FILE).read_text()))


def _accuracy(model: ModelResult) -> float | None:
    return model.overall.metrics[ACCURACY].value
