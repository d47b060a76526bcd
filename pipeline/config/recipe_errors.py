"""Formats the mistakes in a recipe: key, what is valid, received value; one line each."""

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

from common.redaction import redacted
from pipeline.config.recipe_paths import model_of
from trainer.config.tuner import OTHER_TAGS, RANGE_TAG, RangeConfig

LONGEST = 100  # characters of a key or a value in a message
_MOST_ERRORS = 20
# Parts of pydantic's error locations that are not keys.
_TAGS = ('int', 'str', RANGE_TAG, *OTHER_TAGS)


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Formats the first errors of a model, and the number of further ones."""
    lines = [_explain(each, model) for each in error.errors()[:_MOST_ERRORS]]
    if error.error_count() > _MOST_ERRORS:
        lines.append(f'{error.error_count() - _MOST_ERRORS} more mistakes')
    return lines


def nearest(word: str, known: list[str]) -> str:
    """`did you mean KNOWN? `, or nothing if none is similar."""
    close = difflib.get_close_matches(word[:LONGEST].lower(), known, n=1)
    return f'did you mean {close[0]}? ' if close else ''


def _explain(error: Any, model: type[BaseModel]) -> str:
    keys = [str(part) for part in error['loc'] if part not in _TAGS]
    keys = [key for key in keys if not key.startswith(('tuple[', 'dict[', '[key]'))]
    if 'environment' in keys:  # the name of a variable may be followed by its value
        del keys[keys.index('environment') + 1 :]
    where = redacted('.'.join(keys))[:LONGEST]
    if error['type'] == 'extra_forbidden':
        valid = list(_model_at(error['loc'][:-1], model).model_fields)
        hint = nearest(str(error['loc'][-1]), valid)
        return f'{where}: unknown key; {hint}valid keys: {", ".join(valid)}'
    message, value = error['msg'].removeprefix('Value error, '), error['input']
    # Mappings and lists are long, and some values are secrets.
    is_shown = isinstance(value, str | int | float | None) and 'kubeflow' not in keys
    if is_shown and error['type'] != 'missing' and not where.endswith('_env'):
        message += f', got {repr(redacted(value) if isinstance(value, str) else value)[:LONGEST]}'
    return f'{where}: {message[0].lower()}{message[1:]}'.removeprefix(': ')


def _model_at(location: tuple[Any, ...], model: type[BaseModel]) -> type[BaseModel]:
    """The model of the section at a location of pydantic."""
    for key in location:
        if key in model.model_fields:
            model = model_of(model.model_fields[key].annotation) or model
        elif key == RANGE_TAG:
            model = RangeConfig
    return model
