"""What ticks did: a file of JSON lines, one event each, that survives being cut off anywhere."""

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
_READ = 2**20  # bytes from the end; about two thousand ticks


class Tick(BaseModel):
    """One look for a reason to train, and what came of it.

    Attributes:
        tick: names it.
        started: with a time zone, like `ended`.
        ended: None while it goes on, and for one that was killed.
        pid: of its process.
        train: whether there was a reason to; None if it did not come that far.
        decision: why there was or was not a reason to train.
        reason: for the verdict.
        spans: of the window that was looked at.
        new: those of them that no run had used.
        verdict: None while it goes on, and for one that was killed and noticed by nobody.
        accuracy: of the candidate on the newest test images, 0 to 1.
        previous_accuracy: of the live model on the same.
        run: the pipeline run, as in ML Metadata.
        pushed_to: the folder of the pushed model.
        attempts: how often the run was begun, or a decision that never came to its end.
        exit_code: of the process.
        webhook: what went wrong with it; None: nothing did, or there is none.
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
        """Whether it goes on, or was killed."""
        return self.verdict is None


class Journal:
    """The file. Each event has the id of its tick and what became known of it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def start(self, now: datetime.datetime, **values: Any) -> str:
        """Notes that a tick began; gives its id.

        Raises:
            OSError: the file cannot be written.
        """
        tick = uuid.uuid4().hex[:12]
        self.note(tick, started=now.isoformat(), **{'pid': os.getpid(), **values})
        return tick

    def note(self, tick: str, **values: Any) -> None:
        """Appends an event, in one write: it is in the file wholly, or torn at its end."""
        line = json.dumps({'tick': tick, **values}, default=str) + '\n'
        with self._path.open('ab') as file:
            if file.tell() and not self._ends_with_newline():
                line = '\n' + line  # the one before was torn
            file.write(line.encode())

    def ticks(self) -> list[Tick]:
        """The last ticks, oldest first; lines that were torn are left out."""
        values: dict[str, dict[str, Any]] = {}
        for line in self._tail():
            try:
                event = json.loads(line)
                values.setdefault(event['tick'], {}).update(event)
            except (ValueError, KeyError, TypeError):
                continue
        found = []
        for value in values.values():
            try:
                found.append(Tick.model_validate(value))
            except ValidationError:  # its beginning was torn, or is too far back
                continue
        return sorted(found, key=lambda each: each.started)

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
