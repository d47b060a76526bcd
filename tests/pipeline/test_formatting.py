import pytest

from pipeline.formatting import named


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
