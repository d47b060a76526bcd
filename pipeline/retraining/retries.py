"""Retries with exponential back-off, for errors that are retryable."""

import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

from common.errors import PipelineError
from pipeline.config.retraining import RetrainConfig

T = TypeVar('T')

_log = logging.getLogger(__name__)


class Retries:
    """Calls a function until it succeeds; the pause between two attempts doubles each time.

    Args:
        config: the maximum number of attempts, and the first pause.
        sleep: waits some seconds.

    Attributes:
        attempts: number of attempts of the last call, successful or not.
    """

    def __init__(self, config: RetrainConfig, sleep: Callable[[float], None]) -> None:
        self._config = config
        self._sleep = sleep
        self.attempts = 0

    def call(self, work: Callable[[], T]) -> T:
        """Returns the result of the function.

        Raises:
            PipelineError: the last attempt failed, or a retry cannot help.
        """
        pause = self._config.backoff_seconds
        self.attempts = 1
        while True:
            try:
                return work()
            except PipelineError as error:
                if self.attempts == self._config.max_attempts or not _is_retryable(error):
                    raise
                self.attempts += 1
                _log.warning(
                    '%s; attempt %s of %s in %g s',
                    error,
                    self.attempts,
                    self._config.max_attempts,
                    pause,
                )
            self._sleep(pause)
            pause *= 2


def errors_in(error: PipelineError) -> Iterator[PipelineError]:
    """Yields an error, then the PipelineErrors in its chain of causes."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PipelineError):
            yield cause
        cause = cause.__cause__


def _is_retryable(error: PipelineError) -> bool:
    return all(each.retryable for each in errors_in(error))
