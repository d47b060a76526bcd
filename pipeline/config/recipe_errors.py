"""Formats the mistakes in a recipe: key, what is valid, received value; one line each."""

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from common.redaction import redacted
from trainer.config.tuner import OTHER_TAGS, RANGE_TAG, RangeConfig

_LONGEST = 100  # characters of a key or a value in a message
_MOST_ERRORS = 20
# Parts of pydantic's error locations that are not keys.
_TAGS = ('int', 'float', 'str', RANGE_TAG, *OTHER_TAGS)


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Formats the first errors of a model, and the number of further ones."""
    lines = [_explain(each, model) for each in error.errors()[:_MOST_ERRORS]]
    if error.error_count() > _MOST_ERRORS:
        lines.append(f'{error.error_count() - _MOST_ERRORS} more mistakes')
    return lines


def _explain(error: Any, model: type[BaseModel]) -> str:
    keys = [str(part) for part in error['loc'] if part not in _TAGS]
    keys = [key for key in keys if not key.startswith(('tuple[', 'dict[', '[key]'))]
    # A name that is followed by its value is a secret in the wrong place.
    where = redacted('.'.join(keys)).partition('=')[0][:_LONGEST]
    if error['type'] == 'extra_forbidden':
        valid = list(_model_at(error['loc'][:-1], model).model_fields)
        close = difflib.get_close_matches(str(error['loc'][-1])[:_LONGEST].lower(), valid, n=1)
        hint = f'did you mean {close[0]}? ' if close else ''
        return f'{where}: unknown key; {hint}valid keys: {", ".join(valid)}'
    message, value = error['msg'].removeprefix('Value error, '), error['input']
    if error['type'] == 'path_type':
        message = 'must be a path, with quotes if it is "~"'
    # Mappings and lists are long, and what is in place of a variable's name may be a secret.
    is_shown = isinstance(value, str | int | float | None) and not where.endswith('env')
    if is_shown and error['type'] != 'missing':
        message += f', got {redacted(repr(value))[:_LONGEST]}'
    return f'{where}: {message}' if where else message


def _model_at(location: tuple[Any, ...], model: type[BaseModel]) -> type[BaseModel]:
    """The model of the section at a location of pydantic."""
    for key in location:
        kinds: tuple[Any, ...] = (RangeConfig,) if key == RANGE_TAG else ()
        if key in model.model_fields:
            annotation = model.model_fields[key].annotation
            kinds = annotation, *get_args(annotation)
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        model = models[0] if models else model
    return model
