import json

import pytest

from common.errors import DataError
from components.image_example_gen.ingestion.checks import check_bad_share, describe_empty_splits
from components.image_example_gen.ingestion.ingested import Tally


def counts(**images):
    """Counts of a span: 2 images of each class in each split, except for the given counts."""
    spans = {split: {'cats': 2, 'dogs': 2} for split in ('train', 'eval', 'test')}
    for key, number in images.items():
        split, name = key.split('_')
        spans[split][name] = number
    return spans


@pytest.mark.parametrize(
    ('spans', 'window', 'test_window', 'expected'),
    [
        ([counts(train_cats=0), counts(eval_dogs=0)], 2, 1, None),
        ([counts(eval_dogs=0)], 1, 1, '1 of 2 classes has no images in a split: dogs (no eval)'),
        ([counts(), counts(test_cats=0)], 2, 2, None),
        ([counts(), counts(test_cats=0)], 2, 1, 'cats (no test)'),
        ([counts(), counts(train_cats=0)], 1, 2, 'cats (no train)'),  # the first is judged only
    ],
)
def test_class_without_images_in_a_split_is_described(spans, window, test_window, expected):
    found = describe_empty_splits(spans, window, test_window)
    assert expected in found if expected else found is None


def test_split_without_any_images_is_an_error():
    with pytest.raises(DataError, match=r'^8 images are too few: the test split'):
        describe_empty_splits([counts(test_cats=0, test_dogs=0)], 1, 1)


def test_too_many_bad_images_are_an_error_with_reasons_and_examples(tmp_path):
    quarantine = tmp_path / 'ImageExampleGen' / 'quarantine' / '7'
    for span in ('span-1', 'span-2'):
        (quarantine / span).mkdir(parents=True)
        line = {'source': 'cats/a.jpg', 'reason': 'truncated', 'detail': f'it ends early in {span}'}
        (quarantine / span / 'quarantined.jsonl').write_text(json.dumps(line) + '\n')
    tallies = {'span-1': Tally(40, {'truncated': 1}), 'span-2': Tally(9, {'under two labels': 2})}

    check_bad_share(tallies, 0.07, quarantine)
    with pytest.raises(DataError, match=r'3 of 49 images \(6\.1%\)') as raised:
        check_bad_share(tallies, 0.05, quarantine)
    for words in ('2 under two labels, 1 truncated', 'span-1/cats/a.jpg', 'near_distance: 0'):
        assert words in str(raised.value)
    listed = quarantine.parent.parent / 'refused' / 'quarantined.jsonl'
    assert 'span-1/cats/a.jpg' in listed.read_text()

    # Images of unknown classes do not count.
    check_bad_share({'span-1': Tally(40, {'unknown class': 30})}, 0.05, quarantine)
    tally = Tally(1000, {'unknown class': 900, 'damaged': 50})
    with pytest.raises(DataError, match=r'^50 of 100 images \(50\.0%\)'):
        check_bad_share({'span-1': tally}, 0.05, quarantine)
