import pytest

from components.evaluation.results import Estimate
from pipeline.execution.outcome import Outcome
from pipeline.kubeflow.run_outputs import metrics

OUTCOME = {
    'run_id': '1',
    'blessed': False,
    'unchanged': False,
    'accuracy': 0.8,
    'baseline_accuracy': 0.9,
    'previous_accuracy': 0.85,
    'reasons': ('too low',),
    'pushed_to': None,
    'newest_version': None,
}
METRICS = {
    'blessed': 0.0,
    'accuracy': 0.8,
    'baseline_accuracy': 0.9,
    'previous_accuracy': 0.85,
}
MEASURES = {'auc': Estimate(value=0.99, low=0.9, high=1.0), 'ece': Estimate(value=None)}


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({}, METRICS),
        ({'blessed': True}, {**METRICS, 'blessed': 1.0}),
        ({'metrics': MEASURES}, {**METRICS, 'auc': 0.99}),
        (
            {'accuracy': None, 'previous_accuracy': None},
            {'blessed': 0.0, 'baseline_accuracy': 0.9},
        ),
    ],
    ids=['accuracies', 'blessed', 'other metrics', 'missing values'],
)
def test_metrics_are_numbers_that_exist(changes, expected):
    assert metrics(Outcome(**{**OUTCOME, **changes})) == expected
