import pytest

from components.evaluation.results import Estimate
from pipeline.execution.outcome import Outcome
from pipeline.kubeflow.run_outputs import metrics


@pytest.fixture
def outcome():
    def make(**changes):
        usual = {
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
        return Outcome(**{**usual, **changes})

    return make


def test_metrics_have_blessing_and_accuracies(outcome):
    assert metrics(outcome()) == {
        'blessed': 0.0,
        'accuracy': 0.8,
        'baseline_accuracy': 0.9,
        'previous_accuracy': 0.85,
    }


def test_metrics_have_other_estimates(outcome):
    measures = {'auc': Estimate(value=0.99, low=0.9, high=1.0), 'ece': Estimate(value=None)}

    assert metrics(outcome(measures=measures)).items() >= {'auc': 0.99, 'accuracy': 0.8}.items()
    assert 'ece' not in metrics(outcome(measures=measures))


def test_metrics_omit_missing_previous_accuracy(outcome):
    assert 'previous_accuracy' not in metrics(outcome(previous_accuracy=None))


def test_metrics_omit_nan_accuracy(outcome):
    assert set(metrics(outcome(accuracy=None, previous_accuracy=None))) == {
        'blessed',
        'baseline_accuracy',
    }
