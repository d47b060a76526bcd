"""The verdict of the gate: a reason for each rule. Imports no TFX."""

from pathlib import Path

from common.strict_model import StrictModel

VERDICT_FILE = 'verdict.json'  # in the artifact's folder: a Verdict
VERDICT = 'verdict'  # the output of the gate


class Ruling(StrictModel):
    """What one rule says.

    Attributes:
        rule: such as 'baseline', 'floor', 'drop', 'size', 'latency', 'serving', 'one class'.
        passed: None if the rule has no vote: too few images in a slice, or nothing to compare with.
        reason: a clause with the numbers, such as
            `accuracy on dark images 0.883, floor 0.90 (n=212)`.
    """

    rule: str
    passed: bool | None
    reason: str


class Verdict(StrictModel):
    """Whether a model may be pushed, and why.

    Attributes:
        rulings: of all rules, those of the whole test split first.
    """

    rulings: tuple[Ruling, ...]

    @property
    def blessed(self) -> bool:
        """Whether no rule says no."""
        return all(each.passed is not False for each in self.rulings)

    @property
    def objections(self) -> tuple[str, ...]:
        """The reasons of the rules that say no."""
        return tuple(each.reason for each in self.rulings if each.passed is False)


def write_verdict(verdict: Verdict, folder: Path) -> None:
    """Writes a verdict to an artifact's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / VERDICT_FILE).write_text(verdict.model_dump_json(indent=1))


def read_verdict(folder: Path) -> Verdict:
    """The verdict in an artifact's folder.

    Raises:
        OSError: there is none that can be read.
        ValueError: the file is damaged.
    """
    return Verdict.model_validate_json((folder / VERDICT_FILE).read_bytes())
