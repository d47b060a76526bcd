import json

import pytest

from common.errors import DataError, TooFewImages
from components.image_example_gen.ingestion.checks import check_bad_share, describe_empty_splits
from components.image_example_gen.ingestion.ingested import Tally


def counts(**images):
    """Counts of a span: 2 images of each class in each split, except for the given counts."""
    spans = {split: {'cats': 2, 'dogs': 2} for split in ('train', 'eval', 'test')}
    for key, number in images.items():
        split, name = key.split('_')
        spans[split][name] = number
    return spans


def test_class_without_images_in_a_split_of_the_window_is_described():
    assert describe_empty_splits([counts(train_cats=0), counts(eval_dogs=0)], 2, 1) is None
    assert describe_empty_splits([counts(eval_dogs=0)], 1, 1) == (
        '1 of 2 classes has no images in a split: dogs (no eval); add images or groups'
    )
    judged = [counts(), counts(test_cats=0)]
    assert describe_empty_splits(judged, 2, 2) is None
    assert 'cats (no test)' in describe_empty_splits(judged, 2, 1)
    # The span before the window is judged only.
    assert 'cats (no train)' in describe_empty_splits([counts(), counts(train_cats=0)], 1, 2)


def test_split_without_any_images_is_an_error():
    with pytest.raises(TooFewImages, match=r'^8 images are too few: the test split'):
        describe_empty_splits([counts(test_cats=0, test_dogs=0)], 1, 1)


def test_too_many_bad_images_are_an_error_with_reasons_and_examples(tmp_path):
    quarantine = tmp_path / 'ImageExampleGen' / 'quarantine' / '7'
    for span in ('span-1', 'span-2'):
        (quarantine / span).mkdir(parents=True)
        line = {'source': 'cats/a.jpg', 'reason': 'truncated', 'detail': f'it ends early in {span}'}
        (quarantine / span / 'quarantined.jsonl').write_text(json.dumps(line) + '\n')
    tallies = {'span-1': Tally(40, {'truncated': 1}), 'span-2': Tally(9, {'under two labels': 2})}

    check_bad_share(tallies, 0.07, quarantine)
    with pytest.raises(DataError) as raised:
        check_bad_share(tallies, 0.05, quarantine)

    refused = quarantine.parent.parent / 'refused'
    for words in (
        '3 of 49 images (6.1%)',
        '2 under two labels, 1 truncated',
        'span-1/cats/a.jpg: it ends early in span-1; span-2/cats/a.jpg',
        str(refused),
        'data.checks.near_distance: 0',
    ):
        assert words in str(raised.value)
    assert 'cats/a.jpg' in (refused / 'span-1' / 'quarantined.jsonl').read_text()


def test_images_of_unknown_classes_do_not_count(tmp_path):
    (tmp_path / 'a' / 'quarantine' / 'span-1').mkdir(parents=True)
    (tmp_path / 'a' / 'quarantine' / 'span-1' / 'quarantined.jsonl').touch()
    check_bad_share({'span-1': Tally(40, {'unknown class': 30})}, 0.05, tmp_path)
    tally = Tally(1000, {'unknown class': 900, 'damaged': 50})
    with pytest.raises(DataError, match=r'^50 of 100 images \(50\.0%\)'):
        check_bad_share({'span-1': tally}, 0.05, tmp_path / 'a' / 'quarantine')


def test_sum_describes_images_that_are_not_used():
    both = Tally(20, {'truncated': 2, 'empty': 1}, duplicates=1, between=2)
    both += Tally(5, {'empty': 3}, duplicates=1)

    assert both.used == 15
    assert both.clauses() == [
        '6 quarantined (4 empty, 2 truncated)',
        '2 duplicates skipped',
        '2 skipped (near-duplicates in two splits)',
    ]
