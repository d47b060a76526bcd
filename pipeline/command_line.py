"""Commands of this program for the same recipe, as printed and shown in reports."""

import shlex

from common.strict_model import StrictModel

_SET = '--set='
_CHOOSING = ('--config=', '--workdir=', '--set=name=', '--set=workdir=')  # a recipe and its runs


class CommandLine(StrictModel):
    """How this program was started for a recipe, without secrets."""

    program: tuple[str, ...]  # such as ('python', 'pipeline_runner.py')
    options: tuple[str, ...]  # choose the recipe, and override its keys

    def command(self, name: str, *words: str) -> str:
        """Another command for the same recipe, for a shell.

        `words` come last; a key that they set is not set twice.
        """
        settings = (word for word in words if word.startswith(_SET))
        again = tuple(word[: word.index('=', len(_SET)) + 1] for word in settings)
        options = (each for each in self.options if not each.startswith(again))
        return shlex.join([*self.program, *name.split(), *options, *words])

    def short(self, name: str, *words: str) -> str:
        """A command that reads what this recipe stored, for a shell: without other options."""
        options = (each for each in self.options if each.startswith(_CHOOSING))
        return shlex.join([*self.program, *name.split(), *options, *words])
