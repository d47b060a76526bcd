"""Chooses the values of a recipe for surveyed images."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from common.redaction import redacted
from components.evaluation.config import EvaluationConfig
from components.evaluation.results import ACCURACY, BALANCED_ACCURACY
from components.image_example_gen.sources.base.data_config import SplitConfig
from components.image_example_gen.sources.base.labels import describe_classes
from pipeline.config.recipe import RECIPES, name_from
from pipeline.config.recipe_yaml import parse_yaml
from pipeline.new_recipe.survey import Survey
from pipeline.new_recipe.warnings import rare_classes
from trainer.config.train import AUTO, TrainConfig

_FEW_IMAGES = 1000  # below, the settings of `small`, else those of `cats_vs_dogs`
_SIZES = (96, 128, 160, 192, 224)  # of ImageNet weights
_PATIENCE = 4  # in fine-tuning; of 16 epochs, it saves three, and keeps the best in 82 %
_FEW_TEST_IMAGES, _LARGER_TEST_SHARE = 100, 0.5


class Choices(NamedTuple):
    """A recipe as nested keys, its shipped recipe, and the expected images."""

    values: dict[str, Any]
    settings: str  # the recipe of configs/ with the same settings of the trainer
    images: Mapping[str, int]  # expected in each split


def choose(found: Survey, place: str, weights: str) -> Choices:
    """Chooses the recipe of surveyed images.

    `place` is the path or URL of the images as the recipe has it, `weights` the value of
    `trainer.weights`.
    """
    embedded = weights == 'embedded'
    settings = 'small' if found.count < _FEW_IMAGES else 'cats_vs_dogs'
    settings = 'demo' if embedded else settings
    shipped = parse_yaml((RECIPES / f'{settings}.yaml').read_text(encoding='utf-8'))
    splits = _splits(found, shipped['data'].get('splits', {}))
    images = found.split(SplitConfig(**splits))
    values = {
        'name': name_of(place),
        'description': describe_classes(list(found.classes)),
        'data': {**_data(found, place), 'splits': splits},
        'trainer': _trainer(found, shipped['trainer'], weights),
        'evaluation': {
            'metric': BALANCED_ACCURACY if rare_classes(found.classes) else ACCURACY,
            'minimum': None,  # better than always answering the most frequent class
            'margin': EvaluationConfig().margin,
        },
    }
    return Choices(values, settings, images)


def name_of(place: str) -> str:
    """A name for the pipeline of a path or URL: `My Pets.zip` gives `my_pets`."""
    return name_from(re.split(r'[?#]', place.rstrip('/'))[0].rpartition('/')[2].partition('.')[0])


def _data(found: Survey, place: str) -> dict[str, Any]:
    data = found.data.model_dump(mode='json', exclude_defaults=True, exclude={'splits'})
    data['url' if 'url' in data else 'path'] = redacted(place)
    data.setdefault('classes', list(found.classes))
    if found.spans:
        data['window'] = found.data.window
    if found.group_by:
        data['group_by'] = found.group_by.model_dump(exclude_none=True)
    return data


def _splits(found: Survey, shipped: dict[str, int]) -> dict[str, Any]:
    """Shares of the splits: those that the survey was given, else those of the shipped recipe."""
    splits = {**SplitConfig().model_dump(include={'train', 'eval', 'test'}), **shipped}
    if 'eval_and_test' in found.parts:
        share = SplitConfig().test_share_of_validation
        if found.split(SplitConfig())['test'] < _FEW_TEST_IMAGES:
            share = _LARGER_TEST_SHARE
        splits['test_share_of_validation'] = share
    return splits | found.data.splits.model_dump(exclude_unset=True)


def _trainer(found: Survey, shipped: dict[str, Any], weights: str) -> dict[str, Any]:
    """The section `trainer` of a shipped recipe, with the weights and the size of the images.

    Depth, length and rate of the fine-tuning are left to the Trainer, but for embedded weights.
    After random weights, which are no use while they are frozen, all layers are fine-tuned.
    """
    # The smallest size that is not below the images': larger ones are slower, and not better.
    most = shipped.get('image_size', TrainConfig().image_size)
    size = next((each for each in _SIZES if found.median_side <= each < most), most)
    values = {**shipped, 'image_size': size, 'weights': weights}
    if weights == 'random':
        values['fine_tune'] = {**shipped['fine_tune'], 'from_layer': 0}
    elif weights != 'embedded':
        auto = dict.fromkeys(('from_layer', 'epochs', 'learning_rate'), AUTO)
        values['fine_tune'] = {**shipped['fine_tune'], **auto, 'patience': _PATIENCE}
    return values
