"""Checks of a recipe against its data before a run."""

import pytest

from common.errors import ConfigError
from pipeline.config.recipe import Recipe
from pipeline.execution.recipe_checks import check_classes

LIVE = ('cats', 'dogs')


def recipe(**data):
    return Recipe(name='pets', data={'path': 'images', **data})


@pytest.mark.parametrize(
    ('live', 'listed'), [(None, None), (('birds', *LIVE), None), (LIVE, ('birds', *LIVE))]
)
def test_listed_classes_and_those_of_the_live_model_are_accepted(live, listed):
    check_classes(recipe(source='folder', classes=listed), ('birds', *LIVE), live)


@pytest.mark.parametrize('classes', [('birds', *LIVE), ('dogs', 'cats'), ('cats', 'owls')])
def test_other_classes_than_those_of_the_live_model_need_the_key(classes):
    with pytest.raises(ConfigError) as raised:
        check_classes(recipe(source='folder'), classes, LIVE)
    message = str(raised.value)
    assert f'({", ".join(classes)}), but the live model has 2 classes (cats, dogs)' in message
    assert 'set data.classes: ["cats", "dogs"]; to replace them, set data.classes: ["' in message


def test_drawings_need_another_name():
    with pytest.raises(ConfigError) as raised:
        check_classes(Recipe(name='pets', data={'source': 'drawings'}), ('round', 'square'), LIVE)
    assert 'for another pipeline, set its name (--set name=NAME)' in str(raised.value)
    assert 'data.classes' not in str(raised.value)
