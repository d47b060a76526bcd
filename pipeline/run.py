"""One run of a recipe on this machine, from images to a pushed model."""

import contextlib
import datetime
import time
import traceback
from pathlib import Path

import filelock

from pipeline.config import Recipe
from pipeline.library_output import library_output_to
from trainer import progress


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
    with _alone(recipe), contextlib.nullcontext() if verbose else library_output_to(log):
        try:
            return _run(recipe, start)
        except Exception as error:
            traceback.print_exc()  # for the log
            raise _for_a_person(error, None if verbose else log) from error


def _run(recipe: Recipe, start: float) -> bool:
    console = progress.console()
    console.print(f'[bold]{recipe.name}[/bold]: {recipe.description}')
    # TensorFlow and TFX take seconds to import; a wrong recipe is told before.
    from components.sources.factory import make_source

    source = make_source(recipe.data)
    console.print(f'data: {source.count} images of {" and ".join(source.classes)}')

    from components.sources.records import prepare_records
    from pipeline.graph import create_pipeline
    from pipeline.local_runner import ProgressDagRunner
    from pipeline.outcome import read_outcome, show_outcome, write_summary
    from trainer.backbone import build_backbone

    build_backbone(recipe.trainer)  # raises for weights or layers that do not fit
    console.print(f'weights: {describe_weights(recipe)}')
    records = prepare_records(source, recipe.data.splits, recipe.home / 'records')
    runner = ProgressDagRunner()
    runner.run(create_pipeline(recipe, records))
    outcome = read_outcome(runner.results, recipe.evaluation.baseline_accuracy)
    seconds = time.perf_counter() - start
    show_outcome(runner.results, outcome, seconds)
    write_summary(recipe.home / 'last_run.json', runner.results, outcome, seconds)
    return outcome.blessed


def describe_weights(recipe: Recipe) -> str:
    """What the backbone starts from, in words."""
    trainer = recipe.trainer
    name = f'MobileNetV2 {trainer.alpha} at {trainer.image_size}x{trainer.image_size}'
    if trainer.weights == 'random':
        return f'{name}, from a random start, all layers trained: no pretrained weights are used'
    return f'{name}, pretrained: {trainer.weights}'


@contextlib.contextmanager
def _alone(recipe: Recipe):  # type: ignore[no-untyped-def]
    """Two runs at once would do the work twice and push twice."""
    lock = filelock.FileLock(recipe.home / '.lock')
    try:
        recipe.home.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise CannotStart(f'another run of {recipe.name} is going on in {recipe.home}') from None
    except OSError as error:
        raise CannotStart(f'workdir {recipe.home} cannot be used: {error.strerror}') from error
    try:
        yield
    finally:
        lock.release()


def _for_a_person(error: Exception, log: Path | None) -> Exception:
    from components.sources.base import DataError

    if isinstance(error, DataError):  # told before TFX is imported
        return CannotStart(str(error))
    from pipeline.launch import NodeFailed
    from pipeline.local_runner import display_name
    from trainer.backbone import BackboneError

    where = f'; the log is {log}' if log else ''
    if isinstance(error, BackboneError):
        return CannotStart(str(error))
    if isinstance(error, NodeFailed):
        return RunFailed(f'{display_name(error.node_id)} failed: {error.reason}{where}')
    return RunFailed(f'{type(error).__name__}: {error}{where}')
