"""Runs a recipe on this machine, from images to a pushed model."""

import contextlib
import datetime
import logging
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from common import stack
from common.console import styled
from common.errors import AlreadyRunning, ConfigError, PipelineError, RunError
from common.files import locked, share_folders
from components.image_example_gen.ingestion.ingested import is_ingested
from components.image_example_gen.inspection.examine import start as start_workers
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import describe_classes
from pipeline.command_line import CommandLine
from pipeline.config.recipe import Recipe
from pipeline.execution.quick_imports import quick_imports
from pipeline.execution.recipe_checks import (
    check_classes,
    check_data,
    check_disk_space,
    check_model,
)
from pipeline.formatting import named
from pipeline.local.library_output import library_output_to
from pipeline.local.side_process import SideProcess, side_process
from pipeline.registry.run_log import RECIPE_LOCK, LocalRun, logged
from trainer.config.train import TrainConfig

if TYPE_CHECKING:
    from components.image_example_gen.sources.spans import Span
    from pipeline.execution.outcome import Outcome
    from pipeline.local.runner import ProgressDagRunner

SUMMARY_FILE = 'last_run.json'  # in the home of the recipe: the outcome of the last run

_log = logging.getLogger(__name__)


def run(recipe: Recipe, *, verbose: bool = False, commands: CommandLine | None = None) -> 'Outcome':
    """Runs the pipeline of a recipe; components with unchanged inputs are cached.

    `verbose` prints the output of libraries instead of writing it to the log file, and `commands`
    are for the report.

    Raises:
        RunError: a component failed; the message names it and the log file.
        AlreadyRunning: another run of the recipe holds the lock.
        PipelineError: the recipe, its data, its weights or the metadata cannot be used.
    """
    start = time.perf_counter()
    log = recipe.home / 'logs' / f'{datetime.datetime.now():%Y-%m-%dT%H-%M-%S}.log'
    with contextlib.ExitStack() as contexts:
        try:
            contexts.enter_context(lock_recipe(recipe))
            contexts.callback(share_folders, recipe.home)
            if not verbose:
                contexts.enter_context(library_output_to(log))
        except OSError as error:
            raise ConfigError(f'workdir {recipe.home} cannot be used: {error.strerror}') from error
        try:
            return _run(recipe, start, commands)
        except Exception as error:
            traceback.print_exc()  # for the log
            if isinstance(error, PipelineError) and not isinstance(error, RunError):
                raise
            kind = '' if isinstance(error, RunError) else f'{type(error).__name__}: '
            where = '' if verbose else f'; the log is {log}'
            raise RunError(f'{kind}{error}{where}') from error


def _run(recipe: Recipe, start: float, commands: CommandLine | None) -> 'Outcome':
    _log.info('%s: %s', recipe.name, recipe.description, extra=styled(recipe.name, 'bold'))
    _log.info('stack: %s', stack.describe())
    spans = check_data(recipe)  # before the imports of TensorFlow and TFX, which take seconds
    classes, count = spans[0].source.classes, sum(span.source.count for span in spans)
    _log.info('data: %s', describe_data(recipe.data, spans))
    examples = recipe.artifacts_directory / 'ImageExampleGen' / 'examples'
    if not is_ingested(examples, recipe.data, {span.number: span.source for span in spans}):
        start_workers()  # these import TensorFlow meanwhile

    with logged(recipe, start) as logged_run:
        with side_process() as side:
            runner = _run_components(recipe, classes, count, side, logged_run)
        return _conclude(recipe, runner, start, logged_run, commands)


def _conclude(
    recipe: Recipe,
    runner: 'ProgressDagRunner',
    start: float,
    logged_run: LocalRun,
    commands: CommandLine | None,
) -> 'Outcome':
    """Reads, stores and prints the outcome of completed components."""
    # After the imports of TensorFlow and TFX.
    from pipeline.execution.outcome import logged_outcome, read_outcome, show_outcome, write_summary
    from pipeline.report.store import LAST_PAGE
    from pipeline.report.write import write_report
    from pipeline.tracking.track import track

    outcome = read_outcome(runner.run_id, runner.results, recipe)
    logged_run.end(**logged_outcome(outcome, runner.results))
    seconds = time.perf_counter() - start
    write_summary(recipe.home / SUMMARY_FILE, runner.results, outcome, seconds)
    page = recipe.home / LAST_PAGE
    data = write_report(page, recipe, runner.results, outcome, seconds, commands)
    if data:
        outcome = outcome.with_warnings(track(recipe, data))
    show_outcome(runner.results, outcome, seconds, page if data else None)
    return outcome


def _run_components(
    recipe: Recipe,
    classes: tuple[str, ...],
    images: int,
    side: SideProcess | None,
    logged_run: LocalRun,
) -> 'ProgressDagRunner':
    """Checks what needs TensorFlow, then runs the components; `classes` are in label order."""
    with quick_imports():
        from pipeline.graph import create_pipeline
        from pipeline.local.runner import ProgressDagRunner
        from pipeline.metadata_store import open_store
        from pipeline.registry.leftovers import remove_leftovers
        from pipeline.registry.provenance import Provenance

    backbone = check_model(recipe, classes)
    _log.info('weights: %s', describe_weights(recipe.trainer))
    store = open_store(recipe.metadata, recipe.home)
    remove_leftovers(recipe, store)
    check_classes(recipe, classes, Provenance(store, recipe.name).live_classes())
    check_disk_space(recipe, backbone, images)
    runner = ProgressDagRunner(side)
    logged_run.start(runner.run_id)
    runner.run(create_pipeline(recipe, classes, images, train_beside_checks=side is not None))
    return runner


def describe_data(data: DataConfig, spans: 'Sequence[Span]') -> str:
    """Formats the data of a run: `/home/ann/pets, spans 3 and 4: 2,000 images, 2 classes (...)`."""
    count = sum(span.source.count for span in spans)
    images = f'{count:,} images, {describe_classes(spans[0].source.classes)}'
    numbers = [span.number for span in spans]
    which = '' if numbers == [1] else f', {named(numbers)}'
    return f'{data.describe()}{which}: {images}'


def describe_weights(trainer: TrainConfig) -> str:
    """Formats the backbone and its initial weights."""
    name = f'MobileNetV2 {trainer.alpha} at {trainer.image_size}x{trainer.image_size}'
    if trainer.warm_start:
        return f'{name}, last blessed model if there is one, else {trainer.weights}'
    if trainer.weights == 'random':
        return f'{name}, random initialization: not pretrained'
    note = ' (formula-generated images, no download)' if trainer.weights == 'embedded' else ''
    return f'{name}, pretrained: {trainer.weights}{note}'


@contextlib.contextmanager
def lock_recipe(recipe: Recipe) -> Iterator[None]:
    """Holds the lock of a recipe, so that concurrent runs do not repeat work and pushes.

    Raises:
        AlreadyRunning: another run holds the lock.
        OSError: the folder of the runs cannot be written.
    """
    recipe.home.mkdir(parents=True, exist_ok=True)
    held = AlreadyRunning(f'another run of {recipe.name} is going on in {recipe.home}')
    with locked(recipe.home / RECIPE_LOCK, held):
        yield
