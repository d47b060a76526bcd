"""Checks a recipe against its data and weights before the first component runs."""

import importlib.util
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ConfigError
from common.extras import PACKAGES, how_to_install
from components.evaluation.config import check_floors
from components.image_example_gen.ingestion.ingested import is_ingested
from components.image_example_gen.inspection.examine import start
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.labels import describe_classes
from components.image_example_gen.sources.base.listing import convert_os_errors
from components.inference.image_folder import require_images
from components.pusher.serving_folder import check_owner, live_classes
from pipeline.config.recipe import Recipe
from pipeline.formatting import named
from trainer.config.train import TrainConfig, check_class_weights
from trainer.model.weights import check_weights_file

if TYPE_CHECKING:
    from components.image_example_gen.sources.spans import Span
    from trainer.model.backbone import Backbone

_log = logging.getLogger(__name__)

_WILDCARDS = '*?[\\'  # in the paths that TensorFlow and Beam read


def check(recipe: Recipe, *, start_workers: bool = False) -> tuple[tuple[str, ...], int]:
    """Checks a recipe before its first component runs, the quick checks first.

    With `start_workers`, the processes that decode new images import TensorFlow meanwhile.

    Returns:
        The classes of the data in label order, and the number of images.

    Raises:
        ConfigError: the recipe does not fit the data or the live model, or the weights file or a
            package cannot be used.
        DataError: the images cannot be used.
        ModelError: the versions in the serving folder are of another recipe.
    """
    spans = check_data(recipe)  # before the imports of TensorFlow, which take seconds
    classes, images = spans[0].source.classes, sum(span.source.count for span in spans)
    _log.info('data: %s', describe_data(recipe.data, spans))
    if start_workers:
        _start_workers(recipe, spans)
    check_owner(recipe.serving_directory, recipe.name)
    check_classes(recipe, classes, live_classes(recipe.serving_directory))
    backbone = check_model(recipe, classes)
    _log.info('weights: %s', describe_weights(recipe.trainer))
    check_disk_space(recipe, backbone, images)
    return classes, images


def _start_workers(recipe: Recipe, spans: 'Sequence[Span]') -> None:
    examples = recipe.artifacts_directory / 'ImageExampleGen' / 'examples'
    if not is_ingested(examples, recipe.data, {span.number: span.source for span in spans}):
        start()


@convert_os_errors()
def check_data(recipe: Recipe) -> 'tuple[Span, ...]':
    """Opens the window of spans, oldest first; imports no TensorFlow.

    Raises:
        ConfigError: the recipe does not fit the data, or the weights file or a package cannot be
            used.
        DataError: the images cannot be used.
    """
    check_weights_file(recipe.trainer.weights)
    _check_packages(recipe)
    _check_folders(recipe)
    from components.image_example_gen.sources.spans import open_window

    spans = open_window(recipe.data)
    check_floors(recipe.evaluation, spans[0].source.classes)
    if recipe.inference:
        require_images(recipe.inference.path)
    return spans


def _check_packages(recipe: Recipe) -> None:
    """Raises ConfigError if a package of an extra is missing; imports none of them."""
    for key in ('mlflow', 'onnx'):  # also the names of their extras
        for package in PACKAGES[key] if getattr(recipe, key) else ():
            if importlib.util.find_spec(package) is None:
                raise ConfigError(
                    f'{key}: {package} is not installed; {how_to_install(key)}, or remove the key'
                )


def _check_folders(recipe: Recipe) -> None:
    """Raises ConfigError if the path of a folder has wildcards; its files would not be found."""
    folders: dict[str, Path | None] = {
        'workdir': recipe.home,
        'pipeline_root': recipe.artifacts_directory,
        'push_directory': recipe.serving_directory,
    }
    for key, folder in folders.items():
        found = [each for each in _WILDCARDS if each in str(folder)]
        if found:
            raise ConfigError(
                f'{key}: {folder} has {" and ".join(found)} in its path, which TensorFlow takes as '
                'a wildcard; use a folder without * ? [ and \\'
            )


def check_model(recipe: Recipe, classes: tuple[str, ...]) -> 'Backbone':
    """Builds the backbone for classes in label order; imports TensorFlow.

    Raises:
        ConfigError: weights, layers or class weights do not fit.
    """
    from trainer.model.backbone import build_backbone

    backbone = build_backbone(recipe.trainer)
    check_class_weights(recipe.trainer, classes)
    return backbone


def check_classes(recipe: Recipe, classes: tuple[str, ...], live: tuple[str, ...] | None) -> None:
    """Raises ConfigError if classes of the data would replace those of the live model unasked.

    Both are in label order; `data.classes` accepts other ones, with a warning.
    """
    if live is None or classes == live:
        return
    lists = f'{describe_classes(classes)}, but the live model has {describe_classes(live)}'
    other_name = 'for another pipeline, set its name (--set name=NAME)'
    if recipe.data.classes:
        _log.warning(
            '%s: data.classes has %s; a blessed model replaces it without a comparison; %s',
            recipe.name,
            lists,
            other_name,
        )
        return
    if recipe.with_classes(classes) is recipe:
        raise ConfigError(f'{recipe.name}: the images have {lists}; {other_name}')
    keep, replace = (json.dumps(each, ensure_ascii=False) for each in (live, classes))
    raise ConfigError(
        f'{recipe.name}: the images have {lists}; to keep these and quarantine other images, set '
        f'data.classes: {keep}; to replace them, set data.classes: {replace}; {other_name}'
    )


def check_disk_space(recipe: Recipe, backbone: 'Backbone', images: int) -> None:
    """Raises ConfigError if the disk has no space for an activation cache of so many images."""
    from trainer.data.cache_plan import plan_cache

    if recipe.trainer.cache:
        folder = next(each for each in (recipe.home, *recipe.home.parents) if each.exists())
        plan_cache(recipe.trainer, backbone, recipe.data.splits.expected(images), folder)


def describe_data(data: DataConfig, spans: 'Sequence[Span]') -> str:
    """Formats the data of a run: `/home/ann/pets, spans 3 and 4: 2,000 images, 2 classes (...)`."""
    count = sum(span.source.count for span in spans)
    images = f'{count:,} images, {describe_classes(spans[0].source.classes)}'
    numbers = [span.number for span in spans]
    which = '' if numbers == [1] else f', {named(numbers)}'
    return f'{data.describe()}{which}: {images}'


def describe_weights(trainer: TrainConfig) -> str:
    """Formats the backbone and its initial weights."""
    name = f'MobileNetV2 {trainer.alpha} at {trainer.image_size}x{trainer.image_size}'
    if trainer.warm_start:
        return f'{name}, last blessed model if there is one, else {trainer.weights}'
    if trainer.weights == 'random':
        return f'{name}, random initialization: not pretrained'
    note = ' (formula-generated images, no download)' if trainer.weights == 'embedded' else ''
    return f'{name}, pretrained: {trainer.weights}{note}'
