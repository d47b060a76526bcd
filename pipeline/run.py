"""One run of a recipe on this machine, from images to a pushed model."""

import contextlib
import datetime
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import filelock
from rich.markup import escape

from pipeline.config import Recipe
from pipeline.leftovers import remove_leftovers
from pipeline.library_output import library_output_to
from trainer import progress
from trainer.config import TrainConfig, UnfitError, check_class_weights
from trainer.weights import WeightsError, check_weights_file


class CannotStart(RuntimeError):
    """A run could not begin; the message is one sentence for a person."""


class RunFailed(RuntimeError):
    """A component failed; the message names it and the log."""


def run(recipe: Recipe, *, verbose: bool = False) -> bool:
    """Runs every component that has something new to do.

    Args:
        recipe: what to run.
        verbose: show what the libraries print instead of writing it to a file.

    Returns:
        Whether the model that came out is blessed.

    Raises:
        CannotStart: the data or the weights cannot be used, or another run is going on.
        RunFailed: a component failed.
    """
    start = time.perf_counter()
    log = recipe.home / 'logs' / f'{datetime.datetime.now():%Y-%m-%dT%H-%M-%S}.log'
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_alone(recipe))
            if not verbose:
                stack.enter_context(library_output_to(log))
        except OSError as error:
            raise CannotStart(f'workdir {recipe.home} cannot be used: {error.strerror}') from error
        try:
            return _run(recipe, start)
        except Exception as error:
            traceback.print_exc()  # for the log
            raise _for_a_person(error, None if verbose else log) from error


def _run(recipe: Recipe, start: float) -> bool:
    console = progress.console()
    console.print(f'[bold]{recipe.name}[/bold]: {escape(recipe.description)}')
    check_weights_file(recipe.trainer.weights)
    # TensorFlow and TFX take seconds to import; a wrong recipe is told before.
    from components.sources.factory import make_source

    source = make_source(recipe.data)
    console.print(f'data: {source.count} images of {escape(" and ".join(source.classes))}')

    from components.sources.records import prepare_records
    from pipeline.graph import create_pipeline
    from pipeline.local_runner import ProgressDagRunner
    from pipeline.outcome import read_outcome, show_outcome, write_summary
    from trainer.backbone import build_backbone
    from trainer.cache_plan import plan_cache

    backbone = build_backbone(recipe.trainer)  # raises for weights or layers that do not fit
    check_class_weights(recipe.trainer, source.classes)
    console.print(f'weights: {escape(describe_weights(recipe.trainer))}')
    remove_leftovers(recipe)
    records = prepare_records(source, recipe.data.splits, recipe.home / 'records')
    if recipe.trainer.cache:
        plan_cache(recipe.trainer, backbone, records.counts, recipe.home)  # raises if too large
    runner = ProgressDagRunner()
    runner.run(create_pipeline(recipe, records))
    outcome = read_outcome(runner.results, recipe)
    seconds = time.perf_counter() - start
    write_summary(recipe.home / 'last_run.json', runner.results, outcome, seconds)
    show_outcome(runner.results, outcome, seconds)
    return outcome.blessed


def describe_weights(trainer: TrainConfig) -> str:
    """What the backbone starts from, in words."""
    name = f'MobileNetV2 {trainer.alpha} at {trainer.image_size}x{trainer.image_size}'
    if trainer.warm_start:
        return f'{name}, of the last blessed model if there is one, else: {trainer.weights}'
    if trainer.weights != 'random':
        return f'{name}, pretrained: {trainer.weights}'
    trained = trainer.fine_tune.epochs > 0 and trainer.fine_tune.from_layer in (0, 1, 'Conv1')
    return f'{name}, from a random start: no pretrained weights are used; ' + (
        'all layers are trained' if trained else 'the frozen layers stay random'
    )


@contextlib.contextmanager
def _alone(recipe: Recipe) -> Iterator[None]:
    """Two runs at once would do the work twice and push twice."""
    recipe.home.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(recipe.home / '.lock')
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise CannotStart(f'another run of {recipe.name} is going on in {recipe.home}') from None
    try:
        yield
    finally:
        lock.release()


def _for_a_person(error: Exception, log: Path | None) -> Exception:
    from components.sources.base import DataError

    if isinstance(error, (DataError, WeightsError, UnfitError)):  # told before TFX is imported
        return CannotStart(str(error))
    from pipeline.launch import NodeFailed
    from pipeline.local_runner import display_name

    where = f'; the log is {log}' if log else ''
    if isinstance(error, NodeFailed):
        return RunFailed(f'{display_name(error.node_id)} failed: {error.reason}{where}')
    return RunFailed(f'{type(error).__name__}: {error}{where}')
