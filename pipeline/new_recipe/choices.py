"""Chooses the values of a recipe for surveyed images, with comments that a description lacks."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from common.redaction import redacted
from components.image_example_gen.sources.base.data_config import SplitConfig
from components.image_example_gen.sources.base.labels import describe_classes
from pipeline.config.recipe import RECIPES
from pipeline.new_recipe.duration import Duration, estimate
from pipeline.new_recipe.gate import Gate, choose_gate
from pipeline.new_recipe.survey import Survey
from trainer.config.train import TrainConfig

_FEW_IMAGES = 1000  # below, the settings of `small`, else those of `cats_vs_dogs`
_SIZES = (96, 128, 160, 192, 224)  # of ImageNet weights
_FEW_TEST_IMAGES, _LARGER_TEST_SHARE = 100, 0.5
_SHIPPED = {'small': 'small', 'large': 'cats_vs_dogs', 'embedded': 'demo'}

Comments = dict[str, str]  # by dotted key


class Choices(NamedTuple):
    """A recipe as nested keys, comments in place of descriptions, and what they are based on."""

    values: dict[str, Any]
    comments: Comments
    settings: str  # the recipe of configs/ with the same settings of the trainer
    images: Mapping[str, int]  # expected in each split
    gate: Gate
    duration: Duration


def choose(found: Survey, place: str, weights: str, given: Collection[str] = ()) -> Choices:
    """Chooses the recipe of surveyed images.

    `place` is the path or URL of the images as the recipe has it, `weights` the value of
    `trainer.weights`, and `given` are the dotted keys that keep the values of the survey.
    """
    splits, split_comments = _splits(found, embedded=weights == 'embedded')
    splits |= found.data.splits.model_dump(include=_names_below('data.splits', given))
    images = found.split(SplitConfig(**splits))
    share = max(found.classes.values()) / max(sum(found.classes.values()), 1)
    test = [
        round(images['test'] * number / max(sum(found.classes.values()), 1))
        for number in found.classes.values()
    ]
    gate = choose_gate(test, share, embedded=weights == 'embedded')
    settings = _settings(found, weights)
    trainer, trainer_comments = _trainer(found, settings, weights)
    duration = estimate(
        TrainConfig.model_validate(trainer), images, found.count, found.seconds_per_image
    )
    data, data_comments = _data(found, place, given)
    evaluation, evaluation_comments = _evaluation(gate, images['test'])
    values = {
        'name': name_of(place),
        'description': describe_classes(list(found.classes)),
        'workdir': 'runs',
        'data': {**data, 'splits': splits},
        'trainer': trainer,
        'evaluation': evaluation,
    }
    comments = {
        'workdir': 'folder of runs and models, relative to this file',
        **data_comments,
        **split_comments,
        **trainer_comments,
        **evaluation_comments,
    }
    return Choices(values, comments, _SHIPPED[settings], images, gate, duration)


def name_of(place: str) -> str:
    """A name for the pipeline of a path or URL: `My Pets.zip` gives `my_pets`."""
    stem = re.split(r'[?#]', place.rstrip('/'))[0].rpartition('/')[2].partition('.')[0]
    return re.sub('[^a-z0-9]+', '_', stem.lower()).strip('_')[:50] or 'photographs'


def _names_below(section: str, keys: Collection[str]) -> set[str]:
    """The last names of the keys of a section."""
    return {key.removeprefix(f'{section}.') for key in keys if key.startswith(f'{section}.')}


def _data(found: Survey, place: str, given: Collection[str]) -> tuple[dict[str, Any], Comments]:
    data = found.data.model_dump(mode='json', exclude_defaults=True)
    chosen = {'classes', 'window', 'splits'} - _names_below('data', given)
    kept = {key: value for key, value in data.items() if key not in chosen}
    key = 'url' if 'url' in kept else 'path'
    kept[key] = redacted(place)
    about = '' if found.is_exact else 'about '
    comments = {
        'data': 'the images',
        'data.path': 'absolute, or relative to this file',
        'data.source': found.layout,
        'data.label_pattern': 'the class is what the parentheses match in a file name',
        'data.classes': 'in label order; images of others are quarantined',
    }
    for number, images in enumerate(found.classes.values()):
        comments[f'data.classes.{number}'] = f'{about}{images:,} images'
    kept.setdefault('classes', list(found.classes))
    if found.spans and 'window' in chosen:
        kept['window'] = len(found.spans)
        comments['data.window'] = 'number of newest spans to train on: all that there are'
    if found.group_by:
        kept['group_by'] = found.group_by.model_dump(exclude_none=True)
        comments['data.group_by'] = 'images of one group stay in one split'
        comments['data.group_by.folder'] = 'a group is a folder below the class folder'
        comments['data.group_by.pattern'] = 'a group is what the parentheses match in a file name'
    return kept, comments


def _splits(found: Survey, *, embedded: bool) -> tuple[dict[str, Any], Comments]:
    """Shares of the splits: those of the recipe that the settings are from."""
    is_large = found.count >= _FEW_IMAGES and not embedded
    splits: dict[str, Any] = {'train': 7, 'eval': 1, 'test': 2}
    if not is_large:
        splits = {'train': 3, 'eval': 1, 'test': 1}
    comments = {
        'data.splits': 'shares of the images, by a hash of each',
    }
    if not found.sample.parts[None]:
        comments['data.splits'] = 'shares, where the parts of the data leave a choice'
    if 'eval_and_test' in found.sample.parts:
        share = SplitConfig().test_share_of_validation
        if found.split(SplitConfig())['test'] < _FEW_TEST_IMAGES:
            share = _LARGER_TEST_SHARE
        splits['test_share_of_validation'] = share
        comments['data.splits.test_share_of_validation'] = (
            'share of validation that judges the model'
        )
    return splits, comments


def _settings(found: Survey, weights: str) -> str:
    if weights == 'embedded':
        return 'embedded'
    return 'small' if found.count < _FEW_IMAGES else 'large'


def _trainer(found: Survey, settings: str, weights: str) -> tuple[dict[str, Any], Comments]:
    """The section `trainer` of a shipped recipe, with the weights and the size of the images."""
    text = (RECIPES / f'{_SHIPPED[settings]}.yaml').read_text(encoding='utf-8')
    shipped = yaml.safe_load(text)['trainer']
    size = shipped.get('image_size', TrainConfig().image_size)
    # Images of 200 pixels gained from 256, so only much smaller ones take a smaller size.
    if found.median_side * 2 < size:
        size = next((each for each in _SIZES if each >= found.median_side), size)
    trainer = {**shipped, 'image_size': size, 'weights': weights}
    order = ('weights', 'alpha', 'image_size')
    trainer = {key: trainer[key] for key in (*order, *trainer) if key in trainer}
    return trainer, {
        'trainer': f'settings of the recipe {_SHIPPED[settings]}',
        'trainer.weights': 'initial ones: imagenet (a download), embedded, a file',
        'trainer.image_size': f'pixels; the images have {found.median_side} (median)',
        'trainer.flip_averaging': 'predict from an image and its mirror image',
        'trainer.head': 'layers after the backbone',
        'trainer.augment': 'random changes of the training images',
        'trainer.augment.flip': 'mirror images; not if left and right matter',
        'trainer.augment.cached_views': 'views of each image, computed once',
        'trainer.feature_extraction': 'stage 1 trains the head alone',
        'trainer.fine_tune': 'stage 2 also trains the last layers of the backbone',
        **{
            f'trainer.{stage}.epochs': 'passes over the training images'
            for stage in ('feature_extraction', 'fine_tune')
        },
    }


def _evaluation(gate: Gate, test_images: int) -> tuple[dict[str, Any], Comments]:
    evaluation: dict[str, Any] = {
        'baseline_accuracy': gate.baseline_accuracy,
        'min_images': gate.min_images,
        'max_drop': gate.max_drop,
        'max_balanced_drop': gate.max_balanced_drop,
        'max_log_loss_rise': gate.max_log_loss_rise,
        'undecided': gate.undecided,
    }
    if gate.undecided == 'keep':
        undecided = f'the live model stays; {100 * gate.accepted:.0f} % of equal models pass'
    else:
        undecided = 'too few images: refuse only if shown to be worse'
    return evaluation, {
        'evaluation': f'the gate, for about {test_images:,} test images',
        'evaluation.baseline_accuracy': 'minimum; null: by the number and shares of classes'
        if gate.baseline_accuracy is None
        else 'minimum, also for the mean of the classes',
        'evaluation.min_images': 'fewer test images bless no model',
        'evaluation.max_drop': 'margin of the accuracy below the live model',
        'evaluation.max_balanced_drop': 'the same for the mean of the classes',
        'evaluation.max_log_loss_rise': 'the same for the log loss',
        'evaluation.undecided': undecided,
    }


def shown_path(data: Path, recipe: Path) -> str:
    """The path of the images for a recipe: relative if they are in the folder of the recipe."""
    data, folder = data.absolute(), recipe.absolute().parent
    return str(data.relative_to(folder)) if data.is_relative_to(folder) else str(data)
