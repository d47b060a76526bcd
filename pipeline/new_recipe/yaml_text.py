"""Formats a recipe as YAML with a comment on each line."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import BaseModel

from pipeline.config.recipe import Recipe
from pipeline.config.recipe_paths import model_of

_WIDTH, _COLUMN = 100, 40


def to_yaml(values: Mapping[str, Any], comments: Mapping[str, str], heading: Sequence[str]) -> str:
    """Formats nested keys; a key without a comment has its description as one."""
    head = [line for text in heading for line in textwrap.wrap(f'# {text}', _WIDTH)]
    head = [line if line.startswith('#') else f'# {line}' for line in head]
    return '\n'.join([*head, *_lines(values, comments, Recipe, '', 0)]) + '\n'


def _lines(
    values: Mapping[str, Any],
    comments: Mapping[str, str],
    model: type[BaseModel] | None,
    prefix: str,
    depth: int,
) -> Iterator[str]:
    indent = '  ' * depth
    for key, value in values.items():
        field = model.model_fields.get(key) if model else None
        described = (field.description if field else None) or ''
        comment = comments.get(f'{prefix}{key}', described)
        if isinstance(value, Mapping) and value:
            yield from _commented(f'{indent}{key}:', comment)
            inner = model_of(field.annotation) if field else None
            yield from _lines(value, comments, inner, f'{prefix}{key}.', depth + 1)
        elif isinstance(value, list) and value:
            yield from _commented(f'{indent}{key}:', comment)
            for number, each in enumerate(value):
                note = comments.get(f'{prefix}{key}.{number}', '')
                yield from _commented(f'{indent}  - {_scalar(each)}', note)
        else:
            yield from _commented(f'{indent}{key}: {_scalar(value)}', comment)


def _scalar(value: Any) -> str:
    """A value on one line, quoted where YAML needs it."""
    is_plain = not isinstance(value, str) or value.isprintable()
    text = yaml.safe_dump(
        value,
        allow_unicode=is_plain,
        default_style=None if is_plain else '"',
        default_flow_style=True,
        width=10**6,
    )
    return text.removesuffix('...\n').rstrip('\n')


def _commented(line: str, comment: str) -> Iterator[str]:
    """The line with its comment at the end, or above it where it does not fit."""
    if not comment:
        yield line
        return
    joined = f'{line:<{_COLUMN}}  # {comment}'
    if len(joined) <= _WIDTH:
        yield joined
        return
    indent = ' ' * (len(line) - len(line.lstrip()))
    for part in textwrap.wrap(comment, _WIDTH - len(indent) - 2):
        yield f'{indent}# {part}'
    yield line
