"""The gate of a new recipe."""

import pytest

from components.evaluation.config import EvaluationConfig
from pipeline.new_recipe.gate import choose_gate


@pytest.mark.parametrize(
    ('imbalanced', 'metric'), [(False, 'accuracy'), (True, 'balanced_accuracy')]
)
def test_metric_fits_the_shares_of_the_classes(imbalanced, metric):
    gate = EvaluationConfig(**choose_gate(imbalanced=imbalanced))
    assert (gate.metric, gate.minimum, gate.margin) == (metric, None, 0.05)
