"""The verdict of the gate: a reason for each rule. Imports no TFX."""

from trainer.config import StrictModel

VERDICT_FILE = 'verdict.json'  # in the artifact's folder: a Verdict


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
