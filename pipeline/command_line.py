"""Commands of this program for the same recipe, as printed and shown in reports."""

import shlex

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
