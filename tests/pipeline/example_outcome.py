"""The outcome of a run, for tests."""

from pathlib import Path

from pipeline.execution.outcome import Outcome

VERSION = Path('/serving/7')


def outcome(**changes: object) -> Outcome:
    """A run that pushed its model as `VERSION`; `changes` replaces attributes."""
    values = {
        'run_id': 'run-7',
        'model': '/artifacts/Trainer/model/7',
        'blessed': True,
        'unchanged': False,
        'accuracy': 0.95,
        'baseline_accuracy': 0.9,
        'previous_accuracy': None,
        'reasons': (),
        'pushed_to': VERSION,
        'newest_version': VERSION,
    }
    return Outcome(**{**values, **changes})
