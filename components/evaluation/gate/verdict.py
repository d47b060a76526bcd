"""Verdict of ModelGate: result and reason of each rule, stored as JSON."""

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import model_validator

from common.strict_model import StrictModel

VERDICT_FILE = 'verdict.json'  # in the artifact's folder: a Verdict
VERDICT = 'verdict'  # output key of ModelGate

# Undecided: the images are too few to decide. Not applied: there is nothing to compare with.
Result = Literal['passed', 'failed', 'undecided', 'not applied']
PASSED: Final = 'passed'
FAILED: Final = 'failed'
UNDECIDED: Final = 'undecided'
NOT_APPLIED: Final = 'not applied'
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
    return Verdict.model_validate_json((folder / VERDICT_FILE).read_bytes())
