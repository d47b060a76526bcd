"""Verdict of ModelGate: result and reason of each rule, stored as JSON."""

import itertools
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, model_validator

from common.files import read_regular
from common.strict_model import StrictModel

VERDICT_FILE = 'verdict.json'  # in the artifact's folder: a Verdict
VERDICT = 'verdict'  # output key of ModelGate

# Undecided: the images are too few to decide. Not applied: there is nothing to compare with.
Result = Literal['passed', 'failed', 'undecided', 'not applied']
PASSED: Final = 'passed'
FAILED: Final = 'failed'
UNDECIDED: Final = 'undecided'
NOT_APPLIED: Final = 'not applied'
# Keys of `evaluation:` that more models pass with a lower value; of the others, with a higher one.
_LOWER_IS_LOOSER = ('evaluation.baseline_accuracy', 'evaluation.floors', 'evaluation.min_images')
_EARLIER: dict[bool | None, Result] = {
    True: PASSED,
    False: FAILED,
    None: NOT_APPLIED,
}  # values of `passed`


class Ruling(StrictModel):
    """Result of one rule."""

    rule: str  # name, see `components.evaluation.gate.rules`
    result: Result
    reason: str  # one clause with the numbers: `accuracy on dark images 0.883, floor 0.90 (n=212)`
    blocks: bool = False  # whether the model is not blessed because of it
    remedy: str = ''  # of a rule that blocks: what improves the model or its test, a clause
    # Keys of the recipe with the values that the model would pass with; empty if there are none
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode='before')
    @classmethod
    def _read_earlier_versions(cls, values: Any) -> Any:
        """Converts the boolean `passed` of earlier versions."""
        if isinstance(values, dict) and 'passed' in values:
            values = dict(values)
            passed = values.pop('passed')
            return values | {'result': _EARLIER[passed], 'blocks': passed is False}
        return values


class Verdict(StrictModel):
    """Gate decision with the result of each rule, in the order of evaluation."""

    rulings: tuple[Ruling, ...]

    @property
    def blessed(self) -> bool:
        """Whether no rule blocks the model."""
        return not self.objections

    @property
    def objections(self) -> tuple[str, ...]:
        """Reasons of the rules that block the model; that of an undecided one begins with it."""
        return tuple(
            f'{UNDECIDED}: {each.reason}' if each.result == UNDECIDED else each.reason
            for each in self.rulings
            if each.blocks
        )

    @property
    def remedies(self) -> tuple[str, ...]:
        """What improves the model or its test, as clauses."""
        found = (each.remedy.split('; ') for each in self.rulings if each.blocks and each.remedy)
        return tuple(dict.fromkeys(itertools.chain.from_iterable(found)))

    @property
    def settings(self) -> dict[str, Any]:
        """Keys of the recipe with values that this model passes with; empty if none suffice."""
        blocking = [each for each in self.rulings if each.blocks]
        if not all(each.settings for each in blocking):
            return {}
        found: dict[str, Any] = {}
        for each in blocking:
            for key, value in each.settings.items():
                found[key] = _looser(key, found[key], value) if key in found else value
        return found


def _looser(key: str, one: Any, other: Any) -> Any:
    """The value of two with which both rules are passed."""
    if isinstance(one, dict):
        return {name: _looser(key, value, other[name]) for name, value in one.items()}
    return min(one, other) if key in _LOWER_IS_LOOSER else max(one, other)


def write_verdict(verdict: Verdict, folder: Path) -> None:
    """Writes the verdict to an artifact's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / VERDICT_FILE).write_text(verdict.model_dump_json(indent=1))


def read_verdict(folder: Path) -> Verdict:
    """Reads the verdict of an artifact's folder.

    Raises:
        OSError: the file is missing or unreadable.
        ValueError: the file is damaged.
    """
    return Verdict.model_validate_json(read_regular(folder / VERDICT_FILE))
