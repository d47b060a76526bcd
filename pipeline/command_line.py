"""Commands of this program for the same recipe, as printed and shown in reports."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from common.strict_model import StrictModel

# Options that choose a recipe and what its runs have stored.
_STORED = ('--config=', '--workdir=', '--set=name=', '--set=workdir=', '--set=push', '--set=meta')


class CommandLine(StrictModel):
    """How this program was started for a recipe, without secrets."""

    program: tuple[str, ...]  # such as ('python', 'pipeline_runner.py')
    options: tuple[str, ...]  # choose the recipe, and override its keys

    def command(self, name: str, *words: str) -> str:
        """A command that takes the data and weights of the recipe, for a shell."""
        return shlex.join([*self.program, name, *self.options, *words])

    def short(self, name: str, *words: str) -> str:
        """A command that reads or changes what the runs have stored, for a shell."""
        options = (each for each in self.options if each.startswith(_STORED))
        return shlex.join([*self.program, *name.split(), *options, *words])

    def accept(
        self, settings: Mapping[str, Any], withdrawn: str | None = None, *, warm_start: bool = False
    ) -> str | None:
        """The command that blesses a rejected model; None if no key of the recipe does.

        `settings` are the keys that the gate passes it with, `withdrawn` is the version or the
        run if a manual override rejects it, and `warm_start` states that its training started from
        an earlier model.
        """
        if withdrawn:
            return self.short('models bless', withdrawn, '--force', '--reason', 'TEXT')
        if not settings:
            return None
        keys = [f'--set={key}={json.dumps(value)}' for key, value in settings.items()]  # JSON: YAML
        if warm_start:  # otherwise `run` trains another model
            keys.insert(0, '--set=trainer.warm_start=latest_blessed')
        return self.command('run', *keys)
