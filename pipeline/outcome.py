"""How a run ended: read from what its components wrote, and shown to a person."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import tensorflow_model_analysis as tfma
from rich.markup import escape
from rich.table import Table

from pipeline.config import Recipe
from pipeline.evaluation import ACCURACY, ACCURACY_OF_MANY
from pipeline.images import Images, read_answers, read_images
from pipeline.launch import NodeResult
from pipeline.local_runner import display_name
from pipeline.provenance import custom
from trainer import progress
from trainer.folders import folder_of


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The end of a run.

    Attributes:
        run_id: of the pipeline run, as in the metadata.
        blessed: whether the model passed every threshold.
        unchanged: whether everything, the push included, was there from an earlier run.
        accuracy: of the candidate on the test split, 0 to 1.
        baseline_accuracy: what the recipe asks for.
        previous_accuracy: of the last blessed model on the same images; None if there is none.
        reasons: why it was not blessed, one clause each.
        pushed_to: folder of the pushed model; None if none was pushed.
        newest_version: the folder that a model server would load; None if there is none.
        images: what became of them; None if they came as records that were ready.
        warnings: what moved further than the recipe's `validation` allows, a clause each.
    """

    run_id: str
    blessed: bool
    unchanged: bool
    accuracy: float
    baseline_accuracy: float
    previous_accuracy: float | None
    reasons: tuple[str, ...]
    pushed_to: Path | None
    newest_version: Path | None
    images: Images | None = None
    warnings: tuple[str, ...] = ()


def read_outcome(run_id: str, results: dict[str, NodeResult], recipe: Recipe) -> Outcome:
    """Reads blessing, accuracies and push from the artifacts of a run that came to its end."""
    evaluator, pusher = results['Evaluator'], results['Pusher']
    evaluation = evaluator.outputs['evaluation'][0].uri
    blessed = custom(evaluator.outputs['blessing'][0], 'blessed') == 1
    pushed = pusher.outputs['pushed_model'][0]
    destination = custom(pushed, 'pushed_destination') if custom(pushed, 'pushed') else None
    has_previous = bool(results['baseline_resolver'].outputs.get('model'))
    return Outcome(
        run_id=run_id,
        blessed=blessed,
        unchanged=pusher.cached,
        accuracy=_accuracy(evaluation, tfma.CANDIDATE_KEY if has_previous else None),
        baseline_accuracy=recipe.evaluation.baseline_accuracy,
        previous_accuracy=_accuracy(evaluation, tfma.BASELINE_KEY) if has_previous else None,
        reasons=() if blessed else _reasons(evaluation),
        pushed_to=Path(str(destination)) if destination else None,
        newest_version=_newest_version(recipe.serving_directory),
        images=read_images(results),
        warnings=_warnings(results),
    )


def show_outcome(results: dict[str, NodeResult], outcome: Outcome, seconds: float) -> None:
    """Prints a table of the components, then the verdict."""
    table = Table(box=None, pad_edge=False)
    table.add_column('component')
    table.add_column('seconds', justify='right')
    table.add_column('')
    for result in results.values():
        table.add_row(
            display_name(result.node_id), f'{result.seconds:.1f}', 'cached' if result.cached else ''
        )
    table.add_row('everything, with imports', f'{seconds:.1f}', '')
    console = progress.console()
    console.print()
    console.print(table)
    console.print()
    if outcome.images:
        _show_images(outcome.images)
    if answers := read_answers(results):
        console.print(f'images without labels are answered in {escape(str(answers))}')
    for warning in outcome.warnings:
        console.print(f'[yellow]warning: {escape(warning)}[/yellow]')
    previous = outcome.previous_accuracy
    console.print(
        f'test accuracy {outcome.accuracy:.4f}; baseline {outcome.baseline_accuracy:.4f}; '
        + ('no blessed model before' if previous is None else f'last blessed model {previous:.4f}')
    )
    if not outcome.blessed:
        console.print(f'[bold red]NOT BLESSED[/bold red]: {escape("; ".join(outcome.reasons))}')
        return
    where = escape(str(outcome.pushed_to))
    how = 'unchanged: pushed earlier to' if outcome.unchanged else 'and pushed to'
    if outcome.pushed_to != outcome.newest_version:
        newest = outcome.newest_version or 'none'
        console.print(
            f'[bold green]BLESSED[/bold green], {how} {where}, but the newest version there is '
            f'{newest}'
        )
    elif outcome.unchanged:
        console.print(f'[bold green]BLESSED[/bold green], unchanged; live in {where}')
    else:
        console.print(f'[bold green]BLESSED[/bold green] {how} {where}')


def _show_images(images: Images) -> None:
    tally, console = images.tally, progress.console()
    console.print('; '.join([f'{tally.used} of {tally.seen} images used', *tally.clauses()]))
    for path in images.lists:
        console.print(f'  set aside: {escape(str(path))}')


def write_summary(
    path: Path, results: dict[str, NodeResult], outcome: Outcome, seconds: float
) -> None:
    """The same as JSON, for programs."""
    components = {
        display_name(result.node_id): {'seconds': result.seconds, 'cached': result.cached}
        for result in results.values()
    }
    summary = {'seconds': seconds, 'components': components, **dataclasses.asdict(outcome)}
    path.write_text(json.dumps(summary, indent=1, default=str))


def _warnings(results: dict[str, NodeResult]) -> tuple[str, ...]:
    """What the gate let through and warned of, in this run or the one that it is cached from."""
    (artifact,) = results['AnomalyGate'].outputs['warnings']
    return tuple(json.loads(folder_of(artifact.uri).read_text(encoding='utf-8')))


def _newest_version(serving: Path) -> Path | None:
    versions = [path for path in serving.glob('*') if path.name.isdigit()]
    return max(versions, key=lambda path: int(path.name), default=None)


def _accuracy(evaluation: str, model_name: str | None) -> float:
    result = tfma.load_eval_result(evaluation, model_name=model_name)
    for slice_key, metrics in result.slicing_metrics:
        if not slice_key:
            values = metrics['']['']
            accuracy = values.get(ACCURACY) or values[ACCURACY_OF_MANY]
            return float(accuracy['doubleValue'])
    raise ValueError(f'{evaluation} holds no metrics over all of the test split')


def _reasons(evaluation: str) -> tuple[str, ...]:
    """What TFMA's validation found, such as "accuracy 0.8812, needs at least 0.9000"."""
    validation = tfma.load_validation_result(evaluation)
    failures = [
        failure for each in validation.metric_validations_per_slice for failure in each.failures
    ]
    return tuple(dict.fromkeys(_reason(failure) for failure in failures))


def _reason(failure: Any) -> str:
    value = failure.metric_value.double_value.value
    name = failure.metric_key.name.replace('binary_accuracy', 'accuracy')
    change = failure.metric_threshold.change_threshold
    if failure.metric_key.is_diff:
        lost = -change.absolute.value
        allowed = f'at most {lost:.4f} is allowed' if lost else 'it may not be worse'
        return f'{name} is {-value:.4f} below the last blessed model; {allowed}'
    bound = failure.metric_threshold.value_threshold.lower_bound.value
    if math.isnan(value):
        return f'{name} is not a number: {failure.message}'
    return f'{name} {value:.4f} on the test split, needs at least {bound:.4f}'
