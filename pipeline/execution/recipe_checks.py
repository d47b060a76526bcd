"""Checks a recipe against its data and weights before the first component runs."""

import importlib.util
import json
import logging
from collections.abc import Sequence

from common.errors import ConfigError
from common.extras import PACKAGES, how_to_install
from common.features import ACTIVATIONS
from components.evaluation.config import check_floors
from components.image_example_gen.ingestion.ingested import is_ingested
from components.image_example_gen.inspection.examine import start
from components.image_example_gen.sources.base.labels import describe_classes
from components.image_example_gen.sources.base.listing import convert_os_errors
from components.image_example_gen.sources.spans import FIRST_SPAN, Span, open_window
from components.inference.inference_config import images_in
from components.pusher.serving_folder import check_owner, find_model, live_classes
from pipeline.config.recipe import Recipe
from pipeline.formatting import named
from trainer.config.train import COLD, LIVE, SHALLOW, check_class_weights, describe_warm_start
from trainer.model.weights import check_weights_file
from trainer.training.trained_images import TRAINED_ON

_log = logging.getLogger(__name__)


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
    _log.info('data: %s', _describe_data(recipe, spans))
    examples = recipe.artifacts_directory / 'ImageExampleGen' / 'examples'
    sources = {span.number: span.source for span in spans}
    if start_workers and not is_ingested(examples, recipe.data, sources):
        start()
    check_owner(recipe.serving_directory, recipe.name)
    check_classes(recipe, classes, live_classes(recipe.serving_directory))
    check_class_weights(recipe.trainer, classes)
    trainer = recipe.trainer
    _log.info('network: %s, weights: %s', trainer.network, _check_warm_start(recipe))
    check_network(recipe, images)
    return classes, images


def _check_warm_start(recipe: Recipe) -> str:
    """Describes the initial weights; raises ModelError or ConfigError if there are no such ones."""
    trainer = recipe.trainer
    file = trainer.warm_start_file
    if file:
        if not file.is_file() or not file.with_name(TRAINED_ON).is_file():
            raise ConfigError(
                f'trainer.warm_start: {file} or the {TRAINED_ON} next to it does not exist; give '
                'a file that `export --to keras` wrote'
            )
        return str(file)
    if trainer.warm_start == COLD:
        return trainer.weights
    if trainer.warm_start == LIVE:
        return f'those of the live model, or {trainer.weights}'
    find_model(recipe.serving_directory, trainer.warm_start)
    return f'those of {describe_warm_start(trainer.warm_start)}'


@convert_os_errors()
def check_data(recipe: Recipe) -> tuple[Span, ...]:
    """Opens the window of spans, oldest first; imports no TensorFlow.

    Raises:
        ConfigError: the recipe does not fit the data, or the weights file or a package cannot be
            used.
        DataError: the images cannot be used.
    """
    check_weights_file(recipe.trainer.weights)
    _check_packages(recipe)
    spans = open_window(recipe.data)
    check_floors(recipe.evaluation, spans[0].source.classes)
    if recipe.inference:
        images_in(recipe.inference.path)
    return spans


def _check_packages(recipe: Recipe) -> None:
    """Raises ConfigError if a package of an extra is missing; imports none of them."""
    formats = recipe.converter.formats if recipe.converter else ()
    for key, extra, is_needed in (
        ('mlflow', 'mlflow', recipe.mlflow),
        ('converter.formats', 'onnx', 'onnx' in formats),
    ):
        for package in PACKAGES[extra] if is_needed else ():
            if importlib.util.find_spec(package) is None:
                raise ConfigError(
                    f'{key}: {package} is not installed; {how_to_install(extra)}, or remove it'
                )


def check_classes(recipe: Recipe, classes: tuple[str, ...], live: tuple[str, ...] | None) -> None:
    """Raises ConfigError if classes of the data would replace those of the live model unasked.

    Both are in label order; `data.classes` accepts other ones, with a warning.
    """
    if live is None or classes == live:
        return
    found = (
        f'{recipe.name}: the data has {describe_classes(classes)}, but the live model has '
        f'{describe_classes(live)}'
    )
    if recipe.data.classes:
        _log.warning('%s; a blessed model replaces it without a comparison', found)
        return
    keep, replace = (json.dumps(each, ensure_ascii=False) for each in (live, classes))
    raise ConfigError(
        f'{found}; set data.classes: {keep} to keep those and quarantine other images, or '
        f'{replace} to replace them; for another pipeline, set its name (--set name=NAME)'
    )


def check_network(recipe: Recipe, images: int) -> None:
    """Builds the backbone, and plans its activation cache for so many images.

    Imports TensorFlow. Raises ConfigError if weights or layers do not fit, if a model of the user
    cannot be copied and split, or if the disk has no space for the cache.
    """
    from trainer.data.activation_cache import check_space
    from trainer.data.tensors import plan_inputs
    from trainer.model.backbone import build_backbone, check_copy

    trainer, undecided = recipe.trainer.without_auto(SHALLOW), recipe.trainer.fine_tune.auto
    backbone = build_backbone(trainer)
    if trainer.model:
        check_copy(backbone.original, trainer.model)
    folder = recipe.artifacts_directory / 'Trainer' / 'model_run' / ACTIVATIONS
    counts = recipe.data.splits.expected(images)
    check_space(trainer, plan_inputs(trainer, backbone, undecided), counts, folder)


def _describe_data(recipe: Recipe, spans: Sequence[Span]) -> str:
    """Formats the data of a run: `/home/ann/pets, spans 3 and 4: 2,000 images, 2 classes (...)`."""
    count = sum(span.source.count for span in spans)
    numbers = [span.number for span in spans]
    which = '' if numbers == [FIRST_SPAN] else f', {named(numbers)}'
    classes = describe_classes(spans[0].source.classes)
    return f'{recipe.data.describe()}{which}: {count:,} images, {classes}'
