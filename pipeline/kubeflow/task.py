"""Entry point of a Kubeflow container: runs a task, again after an error, a crash or a timeout.

    python -m pipeline.kubeflow.task OPTIONS TASK EXECUTOR_INPUT

EXECUTOR_INPUT is the message of this name in kfp's pipeline_spec.proto, as JSON, which Kubeflow
fills in: inputs, and paths of outputs. Each attempt is a process. What ends the whole pod, such as
the loss of its cluster node, only the platform can repeat.
"""

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import click

from common import console, stack
from common.errors import FAILED, ConfigError, NodeFailed, PipelineError
from common.files import restrict_umask
from pipeline.config.kubeflow import TaskName
from pipeline.kubeflow.run_inputs import parse_executor_input, recipe_of_run
from pipeline.kubeflow.run_record import failed_before, finish, record_error


@click.command()
@click.argument('task')
@click.argument('executor_input')
@click.option('--retries', required=True, type=int, help='Attempts after the first.')
@click.option('--backoff', required=True, type=int, help='Seconds before the second.')
@click.option('--timeout', required=True, type=int, help='Seconds of an attempt.')
@click.option('--report', type=Path, help='Output file of the report.')
@click.option('--gpus', default=0, help='Number of GPUs that are reserved.')
def main(
    task: TaskName, executor_input: str, retries: int, backoff: int, timeout: int, **options: Any
) -> None:
    """Run a task of the pipeline."""
    restrict_umask()  # Argo starts processes with umask 0
    for stop in (signal.SIGINT, signal.SIGTERM):  # a user stops the run
        signal.signal(stop, lambda number, _: sys.exit(128 + number))
    try:
        parsed = parse_executor_input(executor_input)
    except ConfigError as error:
        click.echo(f'error: {error}', err=True)
        sys.exit(error.exit_code)
    inputs = parsed['inputs']['parameterValues']
    if reason := failed_before(task, inputs):  # platforms may repeat every failed pod
        click.echo(f'error: {reason}, in an earlier pod', err=True)
        sys.exit(FAILED)
    for pause in (*(backoff * 2**retry for retry in range(retries)), None):
        code = _run_process(timeout, task, parsed, last=pause is None, **options)
        if code is not None and 0 <= code != os.EX_TEMPFAIL:
            sys.exit(code)
        problem = f'it took longer than {timeout} s' if code is None else f'it ended with {code}'
        if pause is not None:
            click.echo(f'{task}: {problem}; the next attempt is in {pause} s', err=True)
            time.sleep(pause)
    sys.exit(0 if code != os.EX_TEMPFAIL and record_error(task, inputs, problem) else FAILED)


def _run_process(timeout: int, *arguments: Any, **options: Any) -> int | None:
    """Runs an attempt in a process; returns its exit code, None after the timeout."""
    process = multiprocessing.get_context('spawn').Process(
        target=_start, args=arguments, kwargs=options
    )
    process.start()
    assert process.pid
    try:
        process.join(timeout)
        return process.exitcode
    finally:
        with contextlib.suppress(ProcessLookupError):  # before `_start`, it leads no group
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()


def _start(*arguments: Any, **options: Any) -> None:
    os.setsid()
    gc.set_threshold(200_000, 50, 1000)  # TensorFlow and TFX create many permanent objects
    sys.exit(run_attempt(*arguments, **options))


def run_attempt(
    task: TaskName, executor_input: dict[str, Any], *, last: bool, report: Path | None, gpus: int
) -> int:
    """Runs a task once, and returns the exit code.

    It is EX_TEMPFAIL after an error that another attempt may not meet. An error is recorded if no
    attempt follows; after the push it is only a warning.
    """
    inputs, outputs = executor_input['inputs']['parameterValues'], executor_input['outputs']
    stack.set_tensorflow_log_level(1)
    with console.output_to(sys.stdout):
        try:
            _run(task, inputs, outputs, report, gpus)
        except Exception as error:
            cause = error.__cause__ if isinstance(error, NodeFailed) else error
            if not isinstance(cause, PipelineError):
                traceback.print_exc()  # into the log of the pod
            message = console.one_line(str(error) or type(error).__name__)
            click.echo(f'error: {message}', err=True)
            from pipeline.retraining.tick import is_retryable

            again = not isinstance(error, PipelineError) or is_retryable(error)
            if (last or not again) and record_error(task, inputs, message):
                return 0
            return os.EX_TEMPFAIL if again else getattr(error, 'exit_code', FAILED)
    return 0


def _run(
    task: TaskName, inputs: dict[str, Any], outputs: dict[str, Any], report: Path | None, gpus: int
) -> None:
    if task == 'finish':
        finish(inputs)
        return
    recipe = recipe_of_run(inputs)
    # Weights are downloaded once for all pods. Keras reads the variable when it is imported.
    os.environ.setdefault('KERAS_HOME', str(recipe.workdir.absolute() / '.keras'))
    if task == 'decide':
        from pipeline.kubeflow.decision import decide

        for name, text in decide(inputs).items():
            Path(outputs['parameters'][name]['outputFile']).write_text(text)
        return
    from pipeline.kubeflow.nodes import run_nodes

    run_nodes(task, recipe, inputs, gpus, report, Path(outputs['outputFile']))


if __name__ == '__main__':
    main()
