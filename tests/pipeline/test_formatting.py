import pytest

from components.evaluation.gate.decision import GateDecision
from pipeline.formatting import describe_gate, named


@pytest.mark.parametrize(
    ('numbers', 'text'),
    [
        ([4], 'span 4'),
        ([1, 2], 'spans 1 and 2'),
        ([1, 2, 3], 'spans 1 to 3'),
        ([1, 2, 4], 'spans 1, 2 and 4'),
    ],
)
def test_lists_span_numbers(numbers, text):
    assert named(numbers) == text


def test_value_of_one_class_is_undefined():
    decision = GateDecision(metric='balanced_accuracy', minimum=0.5, images=40, rules=())
    assert describe_gate(decision).startswith('test balanced accuracy undefined (n=40')
