"""Does something again when it failed in a way that may heal by itself."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from common.errors import DataError, UnfitError
from pipeline.config.metadata_config import MetadataDamaged, MetadataError
from pipeline.config.retraining import RetrainConfig
from pipeline.local.run_recipe import AlreadyRunning, CannotStart, RunFailed
from trainer.model.weights import WeightsError

T = TypeVar('T')

_log = logging.getLogger(__name__)


class RunGivenUp(RuntimeError):
    """No attempt came to an end.

    Attributes:
        end: verdict, reason, exit code and attempts of the tick.
    """

    def __init__(self, end: dict[str, Any]) -> None:
        super().__init__(end['reason'])
        self.end = end


def with_attempts(
    work: Callable[[], T], config: RetrainConfig, sleep: Callable[[float], None]
) -> tuple[T, int]:
    """Decides or runs until that comes to its end; a pause that doubles lies between the attempts.

    Returns:
        What came of it, and how many attempts it took.

    Raises:
        RunGivenUp: the last attempt failed, or one in a way that waiting does not heal.
    """
    pause = config.backoff_seconds
    attempt = 1
    while True:
        try:
            return work(), attempt
        except (RunFailed, CannotStart, MetadataError) as error:
            if attempt == config.attempts or not _may_heal(error):
                raise RunGivenUp(_end(error, attempt)) from error
            attempt += 1
            _log.warning('%s; attempt %s of %s in %g s', error, attempt, config.attempts, pause)
        sleep(pause)
        pause *= 2


def _may_heal(error: Exception) -> bool:
    """Full disks, memory and servers may; images, weights and damaged files stay what they are."""
    causes = list(_causes(error))
    if any(isinstance(each, MetadataDamaged) for each in causes):
        return False
    if isinstance(error, CannotStart | MetadataError):
        return any(isinstance(each, MetadataError) for each in causes)
    from components.anomaly_gate.component import AnomaliesFound  # TFX, which the run has imported

    return not any(isinstance(each, AnomaliesFound) for each in causes)


def _end(error: Exception, attempts: int) -> dict[str, Any]:
    if isinstance(error, AlreadyRunning):
        reason = f'{error}; this tick is skipped'
        return {'verdict': 'skipped', 'reason': reason, 'exit_code': 0, 'attempts': attempts}
    causes = list(_causes(error))
    wrong_recipe = any(isinstance(each, (WeightsError, UnfitError)) for each in causes)
    data = any(isinstance(each, DataError) for each in causes)
    reason = str(error)
    if data:
        reason += '; nothing is trained until that is mended or removed'
    code = 2 if wrong_recipe else 1
    return {'verdict': 'failed', 'reason': reason, 'exit_code': code, 'attempts': attempts}


def _causes(error: BaseException | None) -> 'list[BaseException]':
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__
    return found
