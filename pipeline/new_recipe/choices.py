"""Chooses the values of a recipe for surveyed images."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from common.redaction import redacted
from components.image_example_gen.sources.base.data_config import SplitConfig
from components.image_example_gen.sources.base.labels import describe_classes
from pipeline.config.recipe import RECIPES, name_from
from pipeline.new_recipe.gate import Gate, choose_gate
from pipeline.new_recipe.survey import Survey
from trainer.config.train import TrainConfig

_FEW_IMAGES = 1000  # below, the settings of `small`, else those of `cats_vs_dogs`
_SIZES = (96, 128, 160, 192, 224)  # of ImageNet weights
_FEW_TEST_IMAGES, _LARGER_TEST_SHARE = 100, 0.5


class Choices(NamedTuple):
    """A recipe as nested keys, and what it is based on."""

    values: dict[str, Any]
    settings: str  # the recipe of configs/ with the same settings of the trainer
    images: Mapping[str, int]  # expected in each split
    gate: Gate


def choose(found: Survey, place: str, weights: str, given: Collection[str] = ()) -> Choices:
    """Chooses the recipe of surveyed images.

    `place` is the path or URL of the images as the recipe has it, `weights` the value of
    `trainer.weights`, and `given` are the dotted keys that keep the values of the survey.
    """
    embedded = weights == 'embedded'
    settings = 'small' if found.count < _FEW_IMAGES else 'cats_vs_dogs'
    settings = 'demo' if embedded else settings
    splits = _splits(found, settings)
    splits |= found.data.splits.model_dump(include=_names_below('data.splits', given))
    images = found.split(SplitConfig(**splits))
    total = max(sum(found.classes.values()), 1)
    test = [round(images['test'] * number / total) for number in found.classes.values()]
    gate = choose_gate(test, max(found.classes.values()) / total, embedded=embedded)
    values = {
        'name': name_of(place),
        'description': describe_classes(list(found.classes)),
        'data': {**_data(found, place, given), 'splits': splits},
        'trainer': _trainer(found, settings, weights),
        'evaluation': gate._asdict(),
    }
    return Choices(values, settings, images, gate)


def name_of(place: str) -> str:
    """A name for the pipeline of a path or URL: `My Pets.zip` gives `my_pets`."""
    return name_from(re.split(r'[?#]', place.rstrip('/'))[0].rpartition('/')[2].partition('.')[0])


def _names_below(section: str, keys: Collection[str]) -> set[str]:
    """The last names of the keys of a section."""
    return {key.removeprefix(f'{section}.') for key in keys if key.startswith(f'{section}.')}


def _data(found: Survey, place: str, given: Collection[str]) -> dict[str, Any]:
    data = found.data.model_dump(mode='json', exclude_defaults=True)
    chosen = {'classes', 'window', 'splits'} - _names_below('data', given)
    kept = {key: value for key, value in data.items() if key not in chosen}
    kept['url' if 'url' in kept else 'path'] = redacted(place)
    kept.setdefault('classes', list(found.classes))
    if found.spans and 'window' in chosen:
        kept['window'] = len(found.spans)
    if found.group_by:
        kept['group_by'] = found.group_by.model_dump(exclude_none=True)
    return kept


def _splits(found: Survey, settings: str) -> dict[str, Any]:
    """Shares of the splits: those of the recipe that the settings are from."""
    splits: dict[str, Any] = {'train': 3, 'eval': 1, 'test': 1}
    if settings == 'cats_vs_dogs':
        splits = {'train': 7, 'eval': 1, 'test': 2}
    if 'eval_and_test' in found.sample.parts:
        share = SplitConfig().test_share_of_validation
        if found.split(SplitConfig())['test'] < _FEW_TEST_IMAGES:
            share = _LARGER_TEST_SHARE
        splits['test_share_of_validation'] = share
    return splits


def _trainer(found: Survey, settings: str, weights: str) -> dict[str, Any]:
    """The section `trainer` of a shipped recipe, with the weights and the size of the images."""
    text = (RECIPES / f'{settings}.yaml').read_text(encoding='utf-8')
    shipped: dict[str, Any] = yaml.safe_load(text)['trainer']
    size = shipped.get('image_size', TrainConfig().image_size)
    # Images of 200 pixels gained from 256, so only much smaller ones take a smaller size.
    if found.median_side * 2 < size:
        size = next((each for each in _SIZES if each >= found.median_side), size)
    return {**shipped, 'image_size': size, 'weights': weights}


def shown_path(data: Path, recipe: Path) -> str:
    """The path of the images for a recipe: relative if they are in the folder of the recipe."""
    data, folder = data.absolute(), recipe.absolute().parent
    return str(data.relative_to(folder)) if data.is_relative_to(folder) else str(data)
