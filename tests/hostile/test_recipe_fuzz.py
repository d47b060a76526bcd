"""Checks that a recipe is loaded, or ends with short error lines, whatever the YAML is.

The three tests together take a minute; `FUZZ_SECONDS` sets another time. The seeds are 0, 1, 2 and
so on; `FUZZ_SEED` sets another first one.
"""

import itertools
import os
import string
import time

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from common.errors import ConfigError
from pipeline.config.recipe import RECIPES, Recipe, parse_override, recipe_of
from pipeline.config.recipe_yaml import parse_yaml

SECONDS = float(os.environ.get('FUZZ_SECONDS', '60')) / 3
SEED = int(os.environ.get('FUZZ_SEED', '0'))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(int(SECONDS) + 300)]
EXAMPLES = settings(
    max_examples=200, deadline=None, database=None, suppress_health_check=[*HealthCheck]
)
RECIPE_TEXTS = [file.read_text() for file in sorted(RECIPES.glob('*.yaml'))]
_TAGS = ('int', 'bool', 'float', 'timestamp', 'binary', 'set', 'omap', 'pairs')
_NUMBERS = ('0b_', '0x', '1_', '1:99', '.inf', '1e999', '1.0e+308', '2026-99-99', '9' * 400)
_ODD = ('\ufeff', '\x00', '\x85', '\ud800', '\x1b[31m', 'true', 'null', 'data', 'trainer')
_MARKS = ('\n  ', '- ', ': ', '? ', '<<: ', '&a ', '*a', '---', *'[]{}&*!|>%@`"\'#,:-?\n \t~=<')
TOKENS = st.sampled_from([*(f'!!{tag} ' for tag in _TAGS), *_NUMBERS, *_ODD, *_MARKS])
TEXTS = st.lists(TOKENS | st.text(max_size=5), max_size=60).map(''.join)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.text(max_size=20)
    | st.sampled_from(
        ['', '\0', 'a\0b', '\ud800', 'x' * 300, 's3://a@b', 'https://u:p@h/?q', '(' * 99]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SCALARS, inner, max_size=4),
    max_leaves=8,
)


def keys_of(model: type[BaseModel], prefix: str = '') -> list[str]:
    """The dotted keys of a recipe, also those of optional sections."""
    keys = []
    for name, field in model.model_fields.items():
        keys.append(f'{prefix}{name}')
        for kind in (field.annotation, *getattr(field.annotation, '__args__', ())):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                keys += keys_of(kind, f'{prefix}{name}.')
    return keys


@st.composite
def mutations(draw):
    """A recipe of `configs/` with a few parts replaced by tokens."""
    text = draw(st.sampled_from(RECIPE_TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        length = draw(st.integers(0, 12))
        text = text[:start] + draw(TEXTS) + text[start + length :]
    return text


def fuzz(check, strategy):
    """Checks examples for SECONDS; prints their number and the last seed."""
    number = 0
    end = time.monotonic() + SECONDS

    @EXAMPLES
    @given(strategy)
    def run(example):
        nonlocal number
        if time.monotonic() < end:
            number += 1
            check(example)

    for number_of_seed in itertools.count(SEED):
        if time.monotonic() >= end:
            break
        seed(number_of_seed)(run)()
    print(f'{number:,} examples, seeds {SEED} to {number_of_seed - 1}')  # noqa: T201


def load_or_report(values, overrides=()):
    """Loads a recipe; a ConfigError has short lines, which can be printed."""
    start = time.process_time()
    try:
        recipe_of(values, overrides)
    except ConfigError as error:
        check_message(error)
    assert time.process_time() - start < 5


def check_message(error):
    lines = str(error).splitlines()
    assert 0 < len(lines) < 100
    assert max(map(len, lines)) < 1500


def load_text(text):
    start = time.process_time()
    try:
        values = parse_yaml(text)
    except ConfigError as error:
        check_message(error)
        values = None
    assert time.process_time() - start < 5
    if isinstance(values, dict):
        load_or_report({'name': 'fuzz', **values})


def override(text):
    try:
        key, value = parse_override(text)
    except ConfigError as error:
        check_message(error)
        return
    load_or_report({'name': 'fuzz'}, [(key, value)])


def test_texts_and_mutated_recipes():
    fuzz(load_text, TEXTS | mutations())


def test_values_of_every_key():
    keys = st.sampled_from(keys_of(Recipe)) | st.text(string.ascii_letters + '._', max_size=12)
    pairs = st.lists(st.tuples(keys, VALUES), min_size=1, max_size=3)
    fuzz(lambda overrides: load_or_report({'name': 'fuzz'}, overrides), pairs)


def test_options():
    keys = st.sampled_from(keys_of(Recipe))
    fuzz(override, st.tuples(keys, TEXTS).map('='.join) | TEXTS)
