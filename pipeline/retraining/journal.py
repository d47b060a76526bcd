"""The journal of ticks: a file of JSON lines that stays readable if a process is killed."""

import contextlib
import datetime
import os
import uuid
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from common.json_lines import append_line, read_lines
from components.pusher.serving_folder import Moment

Verdict = Literal[
    'blessed', 'not blessed', 'unchanged', 'nothing new', 'failed', 'skipped', 'stopped', 'killed'
]
_READ = 2**20  # bytes from the end of the file; more than a thousand ticks


class Tick(BaseModel):
    """One tick: the decision whether to train, and the result."""

    model_config = ConfigDict(frozen=True, extra='ignore')

    tick: str
    started: Moment
    ended: Moment | None = None  # None while the tick runs and if it was killed
    pid: int = 0
    train: bool | None = None  # None if the tick ended before the decision
    decision: str = ''  # reason to train or not to train
    reason: str = ''  # for the verdict
    spans: tuple[int, ...] = ()  # numbers of the spans in the window
    new: tuple[int, ...] = ()  # those that no run had used
    removed: tuple[int, ...] = ()  # spans of the live model that do not exist any more
    # None while the tick runs, and if it was killed and nothing has recorded that
    verdict: Verdict | None = None
    accuracy: float | None = None  # of the candidate
    previous_accuracy: float | None = None  # of the live model, on the same images
    run: str | None = None  # id of the pipeline run in ML Metadata
    pushed_to: str | None = None
    attempts: int = 0  # of the run, or of the decision if it failed
    exit_code: int | None = None
    webhook: str | None = None  # its error; None if it succeeded or none is configured

    def with_result(self, verdict: Verdict, reason: str, exit_code: int, **values: Any) -> 'Tick':
        """A copy with a verdict and other attributes of the result."""
        result = {'verdict': verdict, 'reason': reason, 'exit_code': exit_code}
        return self.model_copy(update={**result, **values})


class Journal:
    """The file with the ticks of a recipe. The last line with the id of a tick is its state."""

    def __init__(self, home: Path) -> None:
        self._path = home / 'ticks.jsonl'

    def start(self, now: datetime.datetime, **values: Any) -> Tick:
        """Records a new tick of this process.

        Raises:
            OSError: the file cannot be written.
        """
        tick = Tick(tick=uuid.uuid4().hex[:12], started=now, **{'pid': os.getpid(), **values})
        self.write(tick)
        return tick

    def write(self, tick: Tick) -> None:
        """Appends the state of a tick in one write; a crash leaves at most one truncated line.

        Raises:
            OSError: the file cannot be written.
        """
        append_line(self._path, tick.model_dump_json(exclude_defaults=True))

    def ticks(self) -> list[Tick]:
        """The last ticks, oldest first; truncated and foreign lines are skipped."""
        ticks = {}
        for line in read_lines(self._path, _READ):
            with contextlib.suppress(ValidationError):
                tick = Tick.model_validate_json(line)
                ticks[tick.tick] = tick
        return sorted(ticks.values(), key=lambda tick: tick.started)
