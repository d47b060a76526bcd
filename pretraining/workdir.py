"""The work folder of a pretraining: one process at a time, fixed settings and code."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import filelock

from common.errors import AlreadyRunning, ConfigError
from pretraining.settings import Settings, code_digest


@contextlib.contextmanager
def alone(workdir: Path) -> Iterator[None]:
    """Creates the folder and holds its lock.

    Raises:
        AlreadyRunning: another pretraining uses the folder.
        OSError: the folder cannot be written.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(workdir / '.lock')
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise AlreadyRunning(f'another pretraining is going on in {workdir}') from None
    try:
        yield
    finally:
        lock.release()


def claim(workdir: Path, settings: Settings) -> None:
    """Records settings and code in the folder, or checks that they are unchanged.

    Raises:
        ConfigError: the folder was used with other settings or code.
    """
    file = workdir / 'settings.json'
    now = {**dataclasses.asdict(settings), 'code': code_digest()}
    if not file.exists():
        partial = file.with_suffix('.partial')
        partial.write_text(json.dumps(now, indent=2))
        partial.replace(file)
    elif _read(file) != now:
        raise ConfigError(
            f'{workdir} was used with other settings or code; give another --workdir, or delete it'
        )


def _read(file: Path) -> object:
    try:
        return json.loads(file.read_text())
    except ValueError:
        return None
