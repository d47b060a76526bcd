"""The record of a run, for tests."""

import datetime
from typing import Any

from components.evaluation.gate.decision import GateDecision, RuleResult
from pipeline.run.record import Run

STARTED = datetime.datetime(2026, 11, 21, 2, tzinfo=datetime.timezone.utc)
PASSED = GateDecision(
    metric='accuracy',
    value=0.95,
    minimum=0.9,
    images=400,
    rules=(RuleResult(rule='minimum', result='passed', reason='accuracy 0.95'),),
)
# The end of a run that pushed its model.
PUSHED: dict[str, Any] = {
    'result': 'blessed',
    'exit_code': 0,
    'gate': PASSED,
    'accuracy': 0.95,
    'model': '/artifacts/Trainer/model/7',
    'folder': '/serving/7',
    'version': '7',
    'live_version': '7',
}


def record(**changes: Any) -> Run:
    """A run of `pets` that pushed its model; `changes` replaces attributes."""
    values = {'id': 'run-7', 'recipe': 'pets', 'started': STARTED, 'seconds': 60.0, **PUSHED}
    return Run(**{**values, **changes})
