"""Creates the recipe of one's own images: looks at them, chooses values, formats them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml

from common import object_storage
from common.console import one_line
from common.errors import ConfigError, DataError
from components.image_example_gen.sources.base.data_config import URL
from components.image_example_gen.sources.detect import data_overrides, detect
from pipeline.config.recipe import recipe_of
from pipeline.config.recipe_paths import absolute
from pipeline.config.recipe_yaml import parse_yaml
from pipeline.new_recipe.choices import Choices, choose
from pipeline.new_recipe.survey import Survey, survey
from trainer.config.train import NAMED_WEIGHTS
from trainer.model.weights import check_weights_file

_TEMPLATE = Path(__file__).with_name('recipe.yaml.j2')
_DATA_COMMENTS = {
    'path': 'absolute, or relative to this file',
    'label_pattern': 'the class is what the parentheses match in a file name',
    'window': 'spans to train on: all, or the number of the newest ones',
    'group_by': 'images of one group, such as a film, stay in one split',
}
_TRAINER_COMMENTS = {
    'head': 'layers after the backbone',
    'augment': 'random changes of the training images; no flip if left and right matter',
    'feature_extraction': 'stage 1 trains the head alone',
    'fine_tune': 'stage 2 also trains the last layers of the backbone; auto: the Trainer chooses',
}
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
    keys = [key for key, _ in settings]
    if 'data.path' in keys or 'data.url' in keys or 'data.dataset' in keys:
        raise ConfigError('--set: the place of the images is the argument FOLDER')
    if others := [key for key in keys if not key.startswith('data.')]:
        raise ConfigError(f'--set {others[0]}: init sets keys of data; give this one to `run`')
    output = output.absolute()
    if not output.parent.is_dir():
        raise ConfigError(f'{output.parent} does not exist; create it, or give another')
    check_weights_file(weights)
    if weights not in NAMED_WEIGHTS:
        weights = _shown_path(weights, output)
    place = shown = data
    if not (URL.match(data) or object_storage.URL.match(data)):
        place, shown = absolute(data, Path.cwd()), _shown_path(data, output)
    detected = detect(place)
    # Runs are next to the recipe; of a CSV file only the images that it names are read.
    folder = output.parent.resolve()
    if detected.source != 'csv' and folder.is_relative_to(os.path.realpath(place)):
        raise ConfigError(
            f'{folder} is in the folder of the images, where the runs would be read as images; '
            'call init in another folder, or give -o FILE in another'
        )
    config = recipe_of({'name': 'new'}, [*data_overrides(place, detected), *settings]).data
    is_described = any(key.startswith(_LAYOUT) for key in keys)
    layout = 'as --set describes it' if is_described else detected.layout
    found = survey(config, layout)
    if not found.sides:
        raise DataError(f'{place}: no image can be read, such as {"; ".join(found.examples)}')
    chosen = choose(found, shown, weights)
    text = _format(found, chosen)
    recipe_of(parse_yaml(text), origin=str(output))  # what is written can be loaded
    return found, chosen, text


def _shown_path(path: str, recipe: Path) -> str:
    """A path for the recipe: relative if the file or folder is in the folder of the recipe."""
    full = Path(path).absolute()
    inside = full.is_relative_to(recipe.parent)
    return str(full.relative_to(recipe.parent) if inside else full)


def _format(found: Survey, chosen: Choices) -> str:
    """Formats the chosen values, with comments on their reasons."""
    template = jinja2.Template(
        _TEMPLATE.read_text(encoding='utf-8'),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return template.render(
        found=found,
        chosen=chosen,
        yaml=_yaml,
        one_line=one_line,
        data_comments=_DATA_COMMENTS,
        trainer_comments=_TRAINER_COMMENTS,
    )


def _yaml(value: Any) -> str:
    """A value in YAML on one line, quoted where YAML needs it."""
    is_plain = not isinstance(value, str) or value.isprintable()
    text = yaml.safe_dump(
        value,
        allow_unicode=is_plain,
        default_style=None if is_plain else '"',
        default_flow_style=True,
        width=10**6,
    )
    return text.removesuffix('...\n').rstrip('\n')
