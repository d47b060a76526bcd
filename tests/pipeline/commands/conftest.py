"""Calls commands in this process, which may have imported TensorFlow already."""

import dataclasses
import sys

import pytest

from pipeline_runner import main

DEFAULT_RECIPE = 'recipe: demo, the default\n'  # the first line without --config


@dataclasses.dataclass(frozen=True)
class Done:
    """Exit code and output of a command, also of its libraries."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(capfd, tmp_path, monkeypatch):
    """`call('run', '--quiet')`: calls a command with the working directory `tmp_path/my runs`.

    `err` is without the line that names the default recipe.
    """

    def call_command(command: str, *options: object) -> Done:
        words = [command, '--workdir', tmp_path / 'my runs', *options]
        # `run` redirects the file descriptors, which the streams of pytest do not use.
        with (
            open(1, 'w', closefd=False) as output,
            open(2, 'w', closefd=False) as errors,
            monkeypatch.context() as patch,
        ):
            patch.setattr(sys, 'stdout', output)
            patch.setattr(sys, 'stderr', errors)
            with pytest.raises(SystemExit) as ended:
                main([str(word) for word in words], prog_name='pipeline_runner.py')
        out, err = capfd.readouterr()
        return Done(ended.value.code, out, err.removeprefix(DEFAULT_RECIPE))

    return call_command
