import json

import pytest

from common.errors import DataError
from components.image_example_gen.component import require_every_class, require_few_bad
from components.image_example_gen.ingestion.tally import Tally


def counts(**images):
    """Counts of a span with 2 images of each class in each split, but for those given."""
    spans = {split: {'cats': 2, 'dogs': 2} for split in ('train', 'eval', 'test')}
    for key, number in images.items():
        split, name = key.split('_')
        spans[split][name] = number
    return spans


def test_spans_may_complete_one_another_for_training():
    require_every_class([counts(train_cats=0, eval_dogs=0), counts(train_dogs=0)], 1)


def test_a_class_without_images_in_any_span_is_named_with_its_split():
    with pytest.raises(DataError, match=r'^20 images are too few: the eval split got none of clas'):
        require_every_class([counts(eval_dogs=0), counts(eval_dogs=0)], 1)


def test_the_newest_span_alone_must_be_able_to_judge():
    with pytest.raises(DataError, match="the test split got none of class 'cats'; give more"):
        require_every_class([counts(), counts(test_cats=0)], 1)


def test_older_spans_help_to_judge_where_the_recipe_says_so():
    require_every_class([counts(), counts(test_cats=0)], 2)


@pytest.fixture
def quarantine(tmp_path):
    """The quarantine of two spans, as TFX lays it out."""
    folder = tmp_path / 'ImageExampleGen' / 'quarantine' / '7'
    for span in ('span-1', 'span-2'):
        (folder / span).mkdir(parents=True)
        line = {'source': 'cats/a.jpg', 'reason': 'truncated', 'detail': f'it ends early in {span}'}
        (folder / span / 'quarantined.jsonl').write_text(json.dumps(line) + '\n')
    return folder


def test_a_few_bad_images_of_all_spans_together_are_allowed(quarantine):
    require_few_bad(
        {'span-1': Tally(99, {'truncated': 1}), 'span-2': Tally(1, {'truncated': 1})},
        0.02,
        quarantine,
    )


def test_too_many_bad_images_stop_with_numbers_reasons_and_examples(quarantine):
    tallies = {'span-1': Tally(40, {'truncated': 1}), 'span-2': Tally(9, {'empty': 2})}

    with pytest.raises(DataError) as raised:
        require_few_bad(tallies, 0.05, quarantine)

    refused = quarantine.parent.parent / 'refused'
    assert str(raised.value) == (
        '3 of 49 images (6.1%) cannot be used, more than the 5.0% of data.checks.max_bad_share: '
        '2 empty, 1 truncated; such as span-1/cats/a.jpg: it ends early in span-1; '
        f'span-2/cats/a.jpg: it ends early in span-2; all are listed in {refused}'
    )


def test_the_list_of_too_many_bad_images_outlives_the_run(quarantine):
    with pytest.raises(DataError):
        require_few_bad({'span-1': Tally(1, {'truncated': 1})}, 0.05, quarantine)

    kept = quarantine.parent.parent / 'refused' / 'span-1' / 'quarantined.jsonl'
    assert 'cats/a.jpg' in kept.read_text()


def test_pictures_that_are_meant_to_look_alike_have_a_remedy(quarantine):
    with pytest.raises(DataError, match=r'set data\.checks\.near_distance: 0$'):
        require_few_bad({'span-1': Tally(9, {'under two labels': 4})}, 0.05, quarantine)
