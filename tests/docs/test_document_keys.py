"""Recipe keys that the documentation names exist, with the defaults that it states."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import recipe_keys
import yaml
from markdown_files import (
    CURRENT_FILES,
    ROOT,
    code_blocks,
    codes_in,
    inline_code,
    name_of,
    tables,
)

from pipeline.config.recipe import Recipe
from pipeline.formatting import dotted

KEYS = {key.name: key for key in recipe_keys.keys_of()}
SECTIONS = {name for name, key in KEYS.items() if key.models and '.' not in name}
_DOTTED = re.compile(r'([a-z_]+(?:\.[A-Za-z_0-9]+)+)')
_SCALAR = r'`?([\d.]+|true|false|null)`?'
_WITH_DEFAULT = (
    re.compile(rf'`([a-z_.]+)` \({_SCALAR}\)'),
    re.compile(rf'\(`([a-z_.]+)`, {_SCALAR}\)'),
    re.compile(r'[`(]([a-z_.]+)`(?: \(|, )default `?([^`)]+)`?\)'),
)
_DEFAULT_OF_ROW = re.compile(rf'\({_SCALAR}\)$')
_DEFAULTS = '# the defaults'  # in a block of YAML, the values of which are those
_FILES = ('.json', '.md', '.sqlite', '.yaml')
_SECTION_HEADER = re.compile(r'key of `([a-z_.]+):?`')


def key_of(dotted: str) -> recipe_keys.Key | None:
    """The key of a dotted name, where names of a mapping, such as Trainer, match NAME."""
    for name, key in KEYS.items():
        pattern = re.escape(name).replace('NAME', r'[^.]+').replace(r'\[\]', '')
        if re.fullmatch(pattern, dotted):
            return key
    parent, _, _ = dotted.rpartition('.')
    # Names of the user's choice, such as an option of Beam or a floor.
    found = KEYS.get(parent) or (KEYS.get(parent.rpartition('.')[0]) if parent else None)
    return (
        found if found and found.type_in_words.startswith('mapping') and not found.models else None
    )


def problems_of(file: Path) -> list[str]:
    found = []
    for line, code in inline_code(file):
        match = _DOTTED.match(code)
        if not match or match[1].partition('.')[0] not in SECTIONS or _is_python(match[1]):
            continue
        rest = code[match.end() :]
        if code.endswith(_FILES):
            continue
        if (not rest or rest[0] in ':=') and key_of(match[1]) is None:
            found.append(f'line {line}: {code}: there is no such key')
    for key, stated in stated_defaults(file):
        if (known := KEYS.get(key)) and yaml.safe_load(known.default) != stated:
            found.append(f'{key}: the default is {known.default}, not {stated}')
    for header, *rows in tables(file):
        if match := _SECTION_HEADER.search(header[0].content):
            names = [code for row in rows for code in codes_in(row[0])]
            unknown = [name for name in names if key_of(f'{match[1]}.{name}') is None]
            found += [f'table of {match[1]}: there is no key {name}' for name in unknown]
    return found


def stated_defaults(file: Path) -> Iterator[tuple[str, object]]:
    """Yields each key that a text, a table or a block of YAML states a default of."""
    text = file.read_text(encoding='utf-8')
    for pattern in _WITH_DEFAULT:
        for key, stated in pattern.findall(text):
            yield key, yaml.safe_load(stated)
    for header, *rows in tables(file):
        if section := _SECTION_HEADER.search(header[0].content):
            for row in rows:
                names, stated = codes_in(row[0]), _DEFAULT_OF_ROW.search(row[1].content)
                if stated and len(names) == 1:
                    yield f'{section[1]}.{names[0]}', yaml.safe_load(stated[1])
    for block in code_blocks(file):
        if _DEFAULTS in block.text:
            yield from dotted(yaml.safe_load(block.text)).items()


def _is_python(dotted: str) -> bool:
    """Whether this is the name of a module of `trainer`, which is also a section."""
    return any((ROOT / f'{dotted.rsplit(".", n)[0].replace(".", "/")}.py').exists() for n in (0, 1))


@pytest.mark.parametrize('file', CURRENT_FILES, ids=name_of)
def test_keys_exist_and_defaults_are_right(file):
    assert problems_of(file) == []


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('Set `trainer.batch: 5`.', 'trainer.batch'),
        ('Raise `data.window` (7).', 'the default is all, not 7'),
        ('Set `trainer.precision` (default `float32`).', 'the default is auto, not float32'),
        ('It keeps reports (`report.keep`, 20).', 'the default is 50, not 20'),
        ('| key of `data` | |\n| --- | --- |\n| `window` | newest spans (2) |\n', 'is all, not 2'),
        ('```yaml\nconverter: {max_drop: 0.5}  # the defaults\n```\n', 'is 0.02, not 0.5'),
        ('| key of `data:` | |\n| --- | --- |\n| `source`, `pth` | |\n', 'no key pth'),
    ],
)
def test_mistakes_are_found(tmp_path, text, problem):
    file = tmp_path / 'guide.md'
    file.write_text(text)

    (found,) = problems_of(file)

    assert problem in found


def test_every_key_has_a_description():
    assert [
        name for name, key in KEYS.items() if not key.field.description and not key.models
    ] == []


def test_reference_has_every_key_with_type_default_and_recipes():
    page = recipe_keys.as_markdown()

    assert set(re.findall(r'\{confval\} (\S+)', page)) == KEYS.keys() - SECTIONS
    (epochs,) = re.findall(r'\{confval\} trainer\.fine_tune\.epochs\n(.*?)::::', page, re.DOTALL)
    assert ':type: integer, at least 0, at most 10,000' in epochs
    assert ':default: `0`' in epochs
    assert '`cats_vs_dogs` (4)' in epochs


def test_reference_names_no_key_that_a_recipe_cannot_have():
    described = {name.partition('.')[0] for name in KEYS}

    assert described == set(Recipe.model_fields)
