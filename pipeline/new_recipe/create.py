"""Creates the recipe of one's own images: looks at them, chooses values, formats them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import object_storage
from common.errors import ConfigError, DataError
from components.image_example_gen.sources.base.data_config import URL
from components.image_example_gen.sources.detect import data_overrides, detect
from pipeline.config.recipe import recipe_of
from pipeline.config.recipe_paths import without_parents
from pipeline.config.recipe_yaml import parse_yaml
from pipeline.new_recipe.choices import Choices, choose, shown_path
from pipeline.new_recipe.recipe_text import recipe_text
from pipeline.new_recipe.survey import Survey, survey
from trainer.config.train import NAMED_WEIGHTS
from trainer.model.weights import check_weights_file

_LAYOUT = ('data.source', 'data.label_pattern', 'data.columns')


def create_recipe(
    data: str, output: Path, weights: str, settings: Sequence[tuple[str, Any]] = ()
) -> tuple[Survey, Choices, str]:
    """The surveyed images, the chosen values, and the text of the recipe.

    `data` is a path or a URL, `output` the file that the recipe will be written to, and `settings`
    are dotted keys of `data` and their values.

    Raises:
        ConfigError: the weights file or a setting cannot be used, or the folder of the recipe does
            not exist or is among the images.
        DataError: the images cannot be used, or none of them is readable.
    """
    if not output.absolute().parent.is_dir():
        raise ConfigError(f'{output.absolute().parent} does not exist; create it, or give another')
    check_weights_file(weights)
    if weights not in NAMED_WEIGHTS:
        weights = shown_path(Path(weights), output)
    is_url = URL.match(data) or object_storage.URL.match(data)
    place = data if is_url else without_parents(Path(data).absolute())
    detected = detect(place)
    if not is_url and detected.source != 'csv':  # only the images that a CSV file names are read
        _require_outside(output, Path(place))
    given = {key for key, _ in settings}
    if others := [key for key in given if not key.startswith('data.')]:
        raise ConfigError(f'--set {others[0]}: init sets keys of data; give this one to `run`')
    config = recipe_of({'name': 'new'}, [*data_overrides(place), *settings]).data
    is_described = any(key.startswith(_LAYOUT) for key in given)
    layout = 'as --set describes it' if is_described else detected.layout
    found = survey(config, layout, all_spans='data.window' not in given)
    if not found.sample.sides:
        raise DataError(
            f'{place}: no image can be read, such as {"; ".join(found.sample.examples)}'
        )
    chosen = choose(found, data if is_url else shown_path(Path(data), output), weights, given)
    text = recipe_text(found, chosen)
    recipe_of(parse_yaml(text), origin=str(output))  # what is written can be loaded
    return found, chosen, text


def _require_outside(output: Path, data: Path) -> None:
    """Raises ConfigError if runs next to the recipe would be among the images, and be read, too."""
    folder = output.absolute().parent.resolve()
    if folder.is_relative_to(os.path.realpath(data)):
        raise ConfigError(
            f'{folder} is in the folder of the images, where the runs would be read as images; '
            'call init in another folder, or give -o FILE in another'
        )
