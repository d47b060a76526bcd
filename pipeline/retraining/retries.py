"""Retries with exponential back-off."""

from collections.abc import Callable
from typing import TypeVar

from rich.markup import escape

from common import progress
from common.errors import DataError, UnfitError
from pipeline.config.metadata_config import MetadataDamaged, MetadataError
from pipeline.config.retraining import RetrainConfig
from pipeline.local.run_recipe import AlreadyRunning, CannotStart, RunFailed
from pipeline.retraining.journal import Verdict
from trainer.model.weights import WeightsError

T = TypeVar('T')


class RunGivenUp(RuntimeError):
    """The last attempt failed, or a retry cannot help.

    Attributes:
        verdict: of the tick.
        exit_code: of the tick.
        attempts: number of attempts.
    """

    def __init__(self, reason: str, verdict: Verdict, exit_code: int, attempts: int) -> None:
        super().__init__(reason)
        self.verdict = verdict
        self.exit_code = exit_code
        self.attempts = attempts


def with_retries(
    work: Callable[[], T], config: RetrainConfig, sleep: Callable[[float], None]
) -> tuple[T, int]:
    """Calls `work` until it succeeds; the pause between two attempts doubles each time.

    Returns:
        The result and the number of attempts.

    Raises:
        RunGivenUp: the last attempt failed, or a retry cannot help.
    """
    pause = config.backoff_seconds
    attempt = 1
    while True:
        try:
            return work(), attempt
        except (RunFailed, CannotStart, MetadataError) as error:
            if attempt == config.attempts or not _is_transient(error):
                raise _given_up(error, attempt) from error
            attempt += 1
            progress.console().print(
                escape(f'{error}; attempt {attempt} of {config.attempts} in {pause:g} s')
            )
        sleep(pause)
        pause *= 2


def _is_transient(error: Exception) -> bool:
    """False for errors of images, weights and damaged files, which a retry repeats."""
    causes = _causes(error)
    if any(isinstance(each, MetadataDamaged) for each in causes):
        return False
    if isinstance(error, CannotStart | MetadataError):
        return any(isinstance(each, MetadataError) for each in causes)
    from components.anomaly_gate.component import AnomaliesFound  # TFX, which the run has imported

    return not any(isinstance(each, AnomaliesFound) for each in causes)


def _given_up(error: Exception, attempts: int) -> RunGivenUp:
    reason = str(error)
    if isinstance(error, AlreadyRunning):
        return RunGivenUp(f'{reason}; this tick is skipped', 'skipped', 0, attempts)
    causes = _causes(error)
    if any(isinstance(each, DataError) for each in causes):
        reason += '; no model is trained until the data is repaired or removed'
    usage = any(isinstance(each, (WeightsError, UnfitError)) for each in causes)
    return RunGivenUp(reason, 'failed', 2 if usage else 1, attempts)


def _causes(error: BaseException | None) -> list[BaseException]:
    causes = []
    while error is not None:
        causes.append(error)
        error = error.__cause__
    return causes
