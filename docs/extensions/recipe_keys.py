"""Describes the keys of recipes in Markdown, from the pydantic models and the shipped recipes."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.config.recipe import RECIPES, Recipe

_TYPES = {
    'string': 'text',
    'integer': 'integer',
    'number': 'number',
    'boolean': '`true` or `false`',
    'null': '`null`',
    'object': 'mapping',
    'array': 'list',
}
_FORMATS = {
    'path': 'path',
    'date': 'date',
}


@dataclass(frozen=True)
class Key:
    """A key of a recipe; `models` are those of a section, which has keys of its own."""

    name: str
    field: FieldInfo
    type_in_words: str
    models: tuple[type[BaseModel], ...]

    @property
    def default(self) -> str:
        """The default as YAML on one line; empty for a section, and without a default."""
        if self.field.is_required():
            return ''
        default = self.field.get_default(call_default_factory=True)
        return '' if isinstance(default, BaseModel) else _as_yaml(default)


def keys_of(model: type[BaseModel] = Recipe, prefix: str = '') -> Iterator[Key]:
    """Yields the keys of a model, and after a section the keys inside it.

    In a mapping with names of the user's choice the name is NAME, in a list the position is `[]`.
    """
    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        models = tuple(_models(field.annotation))
        text = _in_words(schema['properties'][name], schema.get('$defs', {}))
        key = Key(f'{prefix}{name}', field, text, models)
        yield key
        shape = schema['properties'][name].get('type')
        inner = {'object': '.NAME.', 'array': '[].'}.get(shape, '.')
        for each in models:
            yield from keys_of(each, f'{key.name}{inner}')


def recipes_that_set() -> dict[str, dict[str, str]]:
    """The values in the recipes of `configs/`: by key, then by recipe."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(RECIPES.glob('*.yaml')):
        for key, value in _flat(yaml.safe_load(path.read_text(encoding='utf-8'))):
            found.setdefault(key, {})[path.stem] = _as_yaml(value)
    return found


def as_markdown() -> str:
    """The reference of all keys: a heading per section, and a `confval` per key."""
    keys = list(keys_of())
    set_by = recipes_that_set()
    lines = ['## Top level']
    lines += [_entry(key, set_by) for key in keys if '.' not in key.name and not key.models]
    for section in keys:
        if section.models and '.' not in section.name:
            inside = [key for key in keys if key.name.startswith(f'{section.name}.')]
            lines += [f'## `{section.name}`', _description(section)]
            lines += [_entry(key, set_by) for key in inside]
    return '\n\n'.join(lines) + '\n'


def recipes_as_markdown() -> str:
    """The recipes of `configs/`, each with its description and the keys that it sets."""
    lines = []
    for path in sorted(RECIPES.glob('*.yaml')):
        text = path.read_text(encoding='utf-8')
        description = yaml.safe_load(text).get('description', '')
        lines += [f'## `{path.stem}`', '', f'{_sentence(description)}', '']
        lines += ['```yaml', text.rstrip('\n'), '```', '']
    return '\n'.join(lines)


def _description(key: Key) -> str:
    """The description of the key; for a section without one, the docstrings of its models."""
    if key.field.description:
        return _sentence(key.field.description)
    return '\n\n'.join(inspect.cleandoc(model.__doc__ or '') for model in key.models)


def _entry(key: Key, set_by: dict[str, dict[str, str]]) -> str:
    lines = [f'::::{{confval}} {key.name}', f':type: {key.type_in_words}']
    if key.field.is_required():
        lines.append(':default: required')
    elif key.default:
        lines.append(f':default: `{key.default}`')
    lines += ['', _description(key)]
    if key.name in set_by and key.name != 'description':
        recipes = [f'`{recipe}` ({value})' for recipe, value in set_by[key.name].items()]
        lines += ['', f'Recipes: {", ".join(recipes)}']
    return '\n'.join([*lines, '::::'])


def _sentence(text: str) -> str:
    """A description as a sentence; words before a colon are values of the key."""
    text = re.sub(r'(^|; )(?!default)(\w+):', r'\1`\2`:', ' '.join(text.split()).removesuffix('.'))
    first, _, rest = text.partition(' ')
    if first.islower():
        first = first.capitalize()
    return f'{first} {rest}'.strip() + '.' if first else ''


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for each in get_args(annotation):
        yield from _models(each)


def _in_words(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    if '$ref' in schema:
        return _in_words(definitions[schema['$ref'].rsplit('/', 1)[1]], definitions)
    for several in ('anyOf', 'oneOf', 'allOf'):
        if several in schema:
            words = [_in_words(each, definitions) for each in schema[several]]
            return (', or ' if ',' in words[0] else ' or ').join(dict.fromkeys(words))
    if 'const' in schema:
        return f'`{schema["const"]}`'
    if 'enum' in schema:
        return 'one of ' + ', '.join(f'`{each}`' for each in schema['enum'])
    kind = schema.get('type')
    if kind is None:
        return 'any value'
    words = _FORMATS.get(schema.get('format', ''), _TYPES[kind])
    if kind == 'array':
        words += _items(schema, definitions)
    elif kind == 'object' and isinstance(schema.get('additionalProperties'), dict):
        values = _in_words(schema['additionalProperties'], definitions)
        if values not in ('any value', 'mapping'):
            words += f' of names to: {values}'
    return words + _limits(schema)


def _items(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    if 'prefixItems' in schema:
        return ' of two: ' + ' and '.join(
            _in_words(each, definitions) for each in schema['prefixItems']
        )
    return f' of: {_in_words(schema["items"], definitions)}' if 'items' in schema else ''


def _limits(schema: dict[str, Any]) -> str:
    limits = {
        'minimum': 'at least {}',
        'exclusiveMinimum': 'above {}',
        'maximum': 'at most {}',
        'exclusiveMaximum': 'below {}',
        'pattern': 'matching `{}`',
        'maxLength': 'at most {} characters',
    }
    found = [text.format(_number(schema[key])) for key, text in limits.items() if key in schema]
    return f', {", ".join(found)}' if found else ''


def _number(value: Any) -> str:
    return str(value) if isinstance(value, str) else f'{value:,}'


def _as_yaml(value: Any) -> str:
    return (
        yaml.safe_dump(_plain(value), default_flow_style=True, width=10**6)
        .removesuffix('\n...\n')
        .strip()
    )


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode='json', exclude_defaults=True)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, Path):
        return str(value)
    return value


def _flat(values: dict[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f'{prefix}{key}.')
        else:
            yield f'{prefix}{key}', value
