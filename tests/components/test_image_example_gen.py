import pytest

from components.image_example_gen import require_every_class
from components.sources.base import DataError


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
