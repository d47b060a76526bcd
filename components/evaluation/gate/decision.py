"""The decision of ModelGate: result and reason of each rule, stored as JSON."""

from typing import Literal

from common.strict_model import StrictModel
from components.evaluation.results import Comparison

DECISION_FILE = 'gate_decision.json'  # in the artifact's folder: a GateDecision
GATE_DECISION = 'gate_decision'  # output key of ModelGate

# Undecided: the images are too few to decide. Not applied: there is nothing to decide.
Result = Literal['passed', 'failed', 'undecided', 'not applied']


class RuleResult(StrictModel):
    """Result of one rule."""

    rule: str  # name, see `components.evaluation.gate.rules`
    result: Result
    reason: str  # one clause with the numbers: `accuracy on dark images 0.883, floor 0.90 (n=212)`

    @property
    def blocks(self) -> bool:
        """Whether the model is not blessed because of it."""
        return self.result in ('failed', 'undecided')


class GateDecision(StrictModel):
    """The results of the rules, in the order of evaluation."""

    metric: str  # that decides
    value: float | None = None  # of the candidate; None without images, or if it is NaN
    minimum: float | None = None  # None without images
    images: int = 0
    comparison: Comparison | None = None  # with the reference model, if there is one
    rules: tuple[RuleResult, ...]
    remarks: tuple[str, ...] = ()  # findings that block nothing, a clause each

    @property
    def blessed(self) -> bool:
        """Whether no rule blocks the model."""
        return not self.objections

    @property
    def objections(self) -> tuple[str, ...]:
        """Reasons of the rules that block the model."""
        return tuple(each.reason for each in self.rules if each.blocks)

    @property
    def is_new_reference(self) -> bool:
        """Whether later candidates are compared with this one: it has the higher metric."""
        compared = self.comparison
        return compared is None or compared.candidate > compared.reference
