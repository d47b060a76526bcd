"""Checks of a recipe against its data before a run."""

import pytest

from common.errors import ConfigError
from pipeline.config.recipe import Recipe
from pipeline.execution.recipe_checks import check_classes, check_data

LIVE = ('cats', 'dogs')


def recipe(**data):
    return Recipe(name='pets', data={'path': 'images', **data})


@pytest.mark.parametrize(
    ('live', 'listed'), [(None, None), (('birds', *LIVE), None), (LIVE, ('birds', *LIVE))]
)
def test_listed_classes_and_those_of_the_live_model_are_accepted(live, listed, caplog):
    check_classes(recipe(source='folder', classes=listed), ('birds', *LIVE), live)

    replaces = [
        'pets: data.classes has 3 classes (birds, cats, dogs), but the live model has 2 classes '
        '(cats, dogs); a blessed model replaces it without a comparison; for another pipeline, set '
        'its name (--set name=NAME)'
    ]
    assert caplog.messages == (replaces if live == LIVE else [])


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


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        ({'workdir': '/data/pets [2024]'}, r'workdir: /data/pets \[2024\]/pets has \[ in its path'),
        (
            {'pipeline_root': '/data/a*?'},
            r'pipeline_root: /data/a\*\?/pets has \* and \? in its path',
        ),
        ({'push_directory': 'a\\b'}, r'push_directory: .*a\\b has \\ in its path'),
    ],
)
def test_folders_with_wildcards_are_refused(keys, message):
    values = {'name': 'pets', 'data': {'source': 'drawings'}, **keys}
    values['trainer'] = {'weights': 'embedded', 'alpha': 0.35}
    with pytest.raises(ConfigError, match=message):
        check_data(Recipe(**values))
