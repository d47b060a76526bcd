"""Verdict of ModelGate: result and reason of each rule, stored as JSON."""

from pathlib import Path

from common.strict_model import StrictModel

VERDICT_FILE = 'verdict.json'  # in the artifact's folder: a Verdict
VERDICT = 'verdict'  # output key of ModelGate


class Ruling(StrictModel):
    """Result of one rule."""

    rule: str  # name, see `components.evaluation.gate.rules`
    passed: bool | None  # None: not applied, for lack of images or of a previous model
    reason: str  # one clause with the numbers: `accuracy on dark images 0.883, floor 0.90 (n=212)`


class Verdict(StrictModel):
    """Gate decision with the result of each rule, in the order of evaluation."""

    rulings: tuple[Ruling, ...]

    @property
    def blessed(self) -> bool:
        """Whether no rule failed."""
        return not self.objections

    @property
    def objections(self) -> tuple[str, ...]:
        """Reasons of the failed rules."""
        return tuple(each.reason for each in self.rulings if each.passed is False)


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
