"""Runs a recipe on this machine, from images to a pushed model."""

import contextlib
import datetime
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from common import console, stack
from common.errors import AlreadyRunning, PipelineError, RunError
from common.files import locked, share_folders
from pipeline.config.recipe import Recipe
from pipeline.execution.recipe_checks import check
from pipeline.run.record import RECIPE_LOCK, Run, utc_now
from pipeline.run.recording import Recording, new_run

_PATIENCE = 0.5  # seconds: a list of the runs holds the lock of a recipe for a moment

_log = logging.getLogger(__name__)


def run(recipe: Recipe, *, verbose: bool = False, use_cache: bool = True) -> Run:
    """Runs the pipeline of a recipe, and returns its record.

    Components with unchanged inputs are cached if `use_cache`. `verbose` prints each component and
    the output of libraries instead of writing them to the log file.

    Raises:
        RunError: a component failed; the message names it and the log file.
        AlreadyRunning: another run of the recipe holds the lock.
        PipelineError: the recipe, its data, its weights or the metadata cannot be used.
    """
    new = new_run(recipe, utc_now())
    with lock_recipe(recipe), Recording(recipe.home, new) as record:
        return run_recorded(recipe, record, verbose=verbose, use_cache=use_cache)


def run_recorded(
    recipe: Recipe, record: Recording, *, verbose: bool, use_cache: bool = True
) -> Run:
    """Like `run`, with a record of the caller, who holds the lock of the recipe."""
    log = recipe.home / 'logs' / f'{datetime.datetime.now():%Y-%m-%dT%H-%M-%S}.log'
    with contextlib.ExitStack() as contexts:
        contexts.callback(share_folders, recipe.home)
        if not verbose:
            contexts.enter_context(library_output_to(log))
        try:
            return _run(recipe, record, verbose, use_cache)
        except Exception as error:
            traceback.print_exc()  # for the log
            if isinstance(error, PipelineError) and not isinstance(error, RunError):
                raise
            kind = '' if isinstance(error, RunError) else f'{type(error).__name__}: '
            where = '' if verbose else f'; the log is {log}'
            raise RunError(f'{kind}{error}{where}') from error


def _run(recipe: Recipe, record: Recording, verbose: bool, use_cache: bool) -> Run:
    """Checks the recipe, runs the components, and writes the outputs of the run.

    An error after the push is a warning of the run, so that it is not repeated.
    """
    _log.info('%s: %s', recipe.name, recipe.description)
    _log.info('stack: %s', stack.describe())
    classes, images = check(recipe, start_workers=True)
    # Modules are imported when they are needed: the imports of TensorFlow and TFX take seconds.
    from pipeline.execution.outcome import read_outcome, show_run
    from pipeline.graph import create_pipeline
    from pipeline.local.runner import ProgressDagRunner
    from pipeline.metadata_store import open_store
    from pipeline.models.preparation import prepare_metadata

    prepare_metadata(recipe, open_store(recipe.metadata, recipe.home))
    runner = ProgressDagRunner(record.run.id, brief=not verbose)
    record.start()
    late_error: BaseException | None = None
    try:
        runner.run(create_pipeline(recipe, classes, images, use_cache=use_cache))
    except (Exception, KeyboardInterrupt) as error:
        if 'Pusher' not in runner.results:
            raise
        traceback.print_exc()  # for the log
        late_error = error  # the model may be live
    outcome = read_outcome(runner.results, recipe)
    if late_error:
        outcome['warnings'] = (*outcome['warnings'], str(late_error) or type(late_error).__name__)
    ended = record.end(**outcome)
    if isinstance(late_error, KeyboardInterrupt):
        raise late_error
    from pipeline.report.store import LAST_PAGE
    from pipeline.report.write import write_report
    from pipeline.tracking.mlflow_run import track

    page = recipe.home / LAST_PAGE
    data = write_report(page, recipe, runner.results, ended)
    if data and (problems := track(recipe, data)):
        ended = record.add(warnings=(*ended.warnings, *problems))
    show_run(ended, page if data else None)
    return ended


@contextlib.contextmanager
def library_output_to(log: Path) -> Iterator[None]:
    """Redirects standard output and error to a file, except for what `common.console` prints."""
    log.parent.mkdir(parents=True, exist_ok=True)
    stream = console.output_stream()
    copy = os.dup(2 if stream is sys.stderr else 1)
    with (
        os.fdopen(copy, 'w', encoding=stream.encoding, errors=stream.errors) as terminal,
        console.redirected(log, 1, 2),
        console.output_to(terminal, log),
    ):
        yield


@contextlib.contextmanager
def lock_recipe(recipe: Recipe) -> Iterator[None]:
    """Holds the lock of a recipe, so that concurrent runs do not repeat work and pushes.

    Raises:
        AlreadyRunning: another run has held the lock for half a second.
        OSError: the folder of the runs cannot be written.
    """
    held = AlreadyRunning(f'another run of {recipe.name} is going on in {recipe.home}')
    recipe.home.mkdir(parents=True, exist_ok=True)
    with locked(recipe.home / RECIPE_LOCK, held, patience=_PATIENCE):
        yield
