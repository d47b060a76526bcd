"""A recipe, its images and its runs, used through the command line in subprocesses."""

import copy
import functools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

RUNNER = Path(__file__).parents[2] / 'pipeline_runner.py'
RECIPE = """
description: bright and dark squares
trainer:
  image_size: 32
  alpha: 0.35
  weights: random
  batch_size: 8
  feature_extraction: {epochs: 0}
  fine_tune: {from_layer: 0, batch_norm: train, epochs: 20, learning_rate: 0.01, schedule: cosine}
"""
# Trains the last layers only: a third of the time, with mistakes.
QUICK_RECIPE = """
description: bright and dark squares
trainer:
  image_size: 32
  alpha: 0.35
  weights: embedded
  batch_size: 8
  feature_extraction: {epochs: 0}
  fine_tune: {from_layer: 116, batch_norm: train, epochs: 20, learning_rate: 0.01, schedule: cosine}
"""
_PROCESS: dict[str, Any] = {
    'text': True,
    'umask': 0o077,
    # Background jobs of a shell ignore SIGINT, and their children inherit this.
    'preexec_fn': functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
}


class Workspace:
    """A small recipe named `squares` with its data and runs.

    Args:
        folder: for the recipe and the runs.
        images: the data, a folder or a URL.
        recipe: YAML that is added to `base`.
    """

    def __init__(self, folder: Path, images: Path | str, recipe: str, base: str = RECIPE) -> None:
        self.recipe = folder / 'squares.yaml'
        self.recipe.write_text(base + recipe)
        self.runs = folder / 'runs' / 'squares'
        self.cache = folder / 'cache'  # of downloads
        self._options = ['--config', self.recipe, '--workdir', folder / 'runs']
        self._data = ['--data', images]

    def copy(self, folder: Path) -> 'Workspace':
        """The same recipe with a copy of its runs, which a test may damage."""
        copied = copy.copy(self)
        copied.runs = shutil.copytree(self.runs, folder / 'runs' / 'squares')
        copied._options = [*self._options, '--workdir', folder / 'runs']
        return copied

    def start(self, command: str, *arguments: str) -> subprocess.Popen:
        words = [sys.executable, RUNNER, *self._words(command), *arguments]
        pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE}
        return subprocess.Popen(words, **pipes, **self._process())

    def call(self, command: str, *arguments: str) -> subprocess.CompletedProcess:
        """Calls a command; `models rollback` and the like are two words."""
        words = [sys.executable, RUNNER, *self._words(command), *arguments]
        return subprocess.run(words, capture_output=True, **self._process())

    def _words(self, command: str) -> list[Any]:
        data = self._data if command in ('run', 'schedule') else []
        return [*command.split(), *self._options, *data]

    def _process(self) -> dict[str, Any]:
        variables = {
            'CATDOG_CACHE': str(self.cache),
            'LOGNAME': 'ada',
            'PYTHONUNBUFFERED': '1',
        }
        return {**_PROCESS, 'env': {**os.environ, **variables}}

    def versions(self) -> list[Path]:
        """Pushed versions, oldest first."""
        return sorted(self.runs.glob('serving/[0-9]*'))
