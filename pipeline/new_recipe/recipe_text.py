"""Formats a new recipe as YAML with comments, from the template `recipe.yaml.j2`."""

from pathlib import Path
from typing import Any

import jinja2
import yaml

from common.console import one_line
from pipeline.new_recipe.choices import Choices
from pipeline.new_recipe.survey import Survey

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


def recipe_text(found: Survey, chosen: Choices) -> str:
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
