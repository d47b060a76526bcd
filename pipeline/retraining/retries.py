"""Retries with exponential back-off, for errors that another attempt may avoid."""

import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

from common.errors import PipelineError
from pipeline.config.retraining import RetrainConfig

T = TypeVar('T')

_log = logging.getLogger(__name__)


class Retries:
    """Calls a function again while it raises errors that are retryable.

    Args:
        config: how many attempts, and the first pause; each further pause is twice as long.
        sleep: waits some seconds.

    Attributes:
        attempts: how many the last call has taken, also if it raised.
    """

    def __init__(self, config: RetrainConfig, sleep: Callable[[float], None]) -> None:
        self._config = config
        self._sleep = sleep
        self.attempts = 0

    def call(self, work: Callable[[], T]) -> T:
        """The result of the function.

        Raises:
            PipelineError: that of the last attempt, or the first one that is not retryable.
        """
        pause = self._config.backoff_seconds
        self.attempts = 1
        while True:
            try:
                return work()
            except PipelineError as error:
                if self.attempts == self._config.attempts or not _is_retryable(error):
                    raise
                self.attempts += 1
                _log.warning(
                    '%s; attempt %s of %s in %g s',
                    error,
                    self.attempts,
                    self._config.attempts,
                    pause,
                )
            self._sleep(pause)
            pause *= 2


def errors_in(error: PipelineError) -> Iterator[PipelineError]:
    """An error, and those of the project that it was raised from."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PipelineError):
            yield cause
        cause = cause.__cause__


def _is_retryable(error: PipelineError) -> bool:
    return all(each.retryable for each in errors_in(error))
