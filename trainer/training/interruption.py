"""The folder of a training until it ends: the last backup of each stage."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def resumable(folder: Path, key: str) -> Iterator[Path]:
    """Gives the folder of the training with a key, which is removed at the end of the block.

    If the block raises, or the process is killed, the folder stays. The next training with the same
    key gets it; one with another key removes it.
    """
    own = folder / key
    for other in folder.glob('*'):
        if other != own:
            shutil.rmtree(other)
    own.mkdir(parents=True, exist_ok=True)
    yield own
    shutil.rmtree(folder)
