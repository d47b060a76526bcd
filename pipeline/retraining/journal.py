"""The journal of ticks: a file of JSON lines that stays readable if a process is killed."""

import datetime
import json
import os
import uuid
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

Verdict = Literal[
    'blessed', 'not blessed', 'unchanged', 'nothing new', 'failed', 'skipped', 'stopped', 'killed'
]
_READ = 2**20  # bytes from the end of the file; more than a thousand ticks


class Tick(BaseModel):
    """One tick: the decision whether to train, and the result.

    Attributes:
        tick: unique id.
        started: time with a time zone.
        ended: time with a time zone; None while the tick runs and if it was killed.
        pid: process id.
        train: the decision; None if the tick ended before it.
        decision: reason to train or not to train.
        reason: reason for the verdict.
        spans: numbers of the spans in the window.
        new: numbers of the spans that no run had used.
        verdict: None while the tick runs, and if it was killed and nothing has recorded that.
        accuracy: of the candidate on the newest test images, 0 to 1.
        previous_accuracy: of the live model on the same images, 0 to 1.
        run: id of the pipeline run in ML Metadata.
        pushed_to: folder of the pushed model.
        attempts: number of attempts of the run, or of a decision that failed.
        exit_code: of the process.
        webhook: error of the webhook; None if it succeeded or none is configured.
    """

    model_config = ConfigDict(frozen=True, extra='ignore')

    tick: str
    started: datetime.datetime
    ended: datetime.datetime | None = None
    pid: int = 0
    train: bool | None = None
    decision: str = ''
    reason: str = ''
    spans: tuple[int, ...] = ()
    new: tuple[int, ...] = ()
    verdict: Verdict | None = None
    accuracy: float | None = None
    previous_accuracy: float | None = None
    run: str | None = None
    pushed_to: str | None = None
    attempts: int = 0
    exit_code: int | None = None
    webhook: str | None = None

    @property
    def open(self) -> bool:
        """True while the tick runs, and if it was killed."""
        return self.verdict is None

    def with_result(self, verdict: Verdict, reason: str, exit_code: int, **values: Any) -> 'Tick':
        """A copy with a verdict and other attributes of the result."""
        result = {'verdict': verdict, 'reason': reason, 'exit_code': exit_code}
        return self.model_copy(update={**result, **values})


class Journal:
    """The file with the ticks of a recipe. The last line with the id of a tick is its state.

    Lines of earlier versions hold only what had changed, so lines of one tick are merged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

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
        line = tick.model_dump_json(exclude_defaults=True) + '\n'
        with self._path.open('ab') as file:
            if file.tell() and not self._ends_with_newline():
                line = '\n' + line  # the previous line is truncated
            file.write(line.encode())

    def ticks(self) -> list[Tick]:
        """The last ticks, oldest first; truncated and foreign lines are skipped."""
        values: dict[str, dict[str, Any]] = {}
        for line in self._tail():
            try:
                state = json.loads(line)
                values.setdefault(state['tick'], {}).update(state)
            except (ValueError, KeyError, TypeError):
                continue
        ticks = []
        for value in values.values():
            try:
                ticks.append(Tick.model_validate(value))
            except ValidationError:
                continue
        return sorted(ticks, key=lambda tick: tick.started)

    def _ends_with_newline(self) -> bool:
        with self._path.open('rb') as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b'\n'

    def _tail(self) -> list[bytes]:
        try:
            with self._path.open('rb') as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _READ))
                return file.read().splitlines()
        except FileNotFoundError:
            return []
