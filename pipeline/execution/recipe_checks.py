"""Checks a recipe against its data and weights before the first component runs."""

import importlib.util
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import ConfigError
from common.extras import how_to_install
from components.evaluation.config import check_floors
from components.image_example_gen.sources.base.labels import describe_classes
from components.image_example_gen.sources.base.listing import convert_os_errors
from components.inference.image_folder import require_images
from pipeline.config.recipe import Recipe
from pipeline.execution.quick_imports import quick_imports
from trainer.config.train import check_class_weights
from trainer.model.weights import check_weights_file

if TYPE_CHECKING:
    from components.image_example_gen.sources.spans import Span
    from trainer.model.backbone import Backbone

_log = logging.getLogger(__name__)

# Of the extras with the names of these keys.
_PACKAGES = {'mlflow': ('mlflow',), 'onnx': ('tf2onnx', 'onnx', 'onnxruntime')}
_WILDCARDS = '*?[\\'  # in the paths that TensorFlow and Beam read


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
    for key, packages in _PACKAGES.items():
        for package in packages if getattr(recipe, key) else ():
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
    with quick_imports():
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
