"""Fuzzes recipes and readers of untrusted files; `FUZZ_SECONDS` sets the time of each test.

The seeds are 0, 1, 2 and so on; `FUZZ_SEED` sets another first one.
"""

import contextlib
import gzip
import io
import itertools
import os
import string
import tarfile
import time
import zipfile

import hostile_files as made
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from common.errors import ConfigError, PipelineError
from components.image_example_gen.inspection.limited_process import Limits, call
from components.image_example_gen.sources import archive
from components.image_example_gen.sources.base.data_config import DataConfig
from components.image_example_gen.sources.base.source import every_image
from components.image_example_gen.sources.spans import make_source
from pipeline.config.recipe import RECIPES, Recipe, parse_override, recipe_of
from pipeline.config.recipe_yaml import parse_yaml

SECONDS = float(os.environ.get('FUZZ_SECONDS', '30'))
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
def mutated_recipes(draw):
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


@contextlib.contextmanager
def reported():
    """The block takes little CPU time; its error, if any, has short lines, one if it is of data."""
    start = time.process_time()
    lines = ['']
    try:
        yield
    except PipelineError as error:
        lines = str(error).splitlines()
        most = 100 if isinstance(error, ConfigError) else 1
        lines = lines if len(lines) <= most else []
    assert lines
    assert max(map(len, lines)) < 1500
    assert time.process_time() - start < 5


def load(values, overrides=()):
    with reported():
        recipe_of({'name': 'fuzz', **values}, overrides)


def load_text(text):
    values = None
    with reported():
        values = parse_yaml(text)
    if isinstance(values, dict):
        load(values)


def override(text):
    with reported():
        recipe_of({'name': 'fuzz'}, [parse_override(text)])


def test_texts_and_mutated_recipes():
    fuzz(load_text, TEXTS | mutated_recipes())


def test_values_of_every_key():
    keys = st.sampled_from(keys_of(Recipe)) | st.text(string.ascii_letters + '._', max_size=12)
    pairs = st.lists(st.tuples(keys, VALUES), min_size=1, max_size=3)
    fuzz(lambda overrides: load({}, overrides), pairs)


def test_options():
    keys = st.sampled_from(keys_of(Recipe))
    fuzz(override, st.tuples(keys, TEXTS).map('='.join) | TEXTS)


def mutations(valid):
    """A valid file with bytes changed, and a part removed, repeated or replaced by zeros."""
    return st.sampled_from(valid).flatmap(_mutations)


def _mutations(contents):
    places = st.integers(0, len(contents))
    changes = st.lists(st.tuples(places, st.binary(min_size=1, max_size=8)), max_size=6)

    def change(drawn):
        changed, (start, end), kind = drawn
        damaged = bytearray(contents)
        for place, value in changed:
            damaged[place : place + len(value)] = value
        start, end = sorted((start, end))
        middle = [damaged[start:end], b'', damaged[start:end] * 2, bytes(end - start)][kind]
        return bytes(damaged[:start] + middle + damaged[end:])

    return st.tuples(changes, st.tuples(places, places), st.integers(0, 3)).map(change)


def read(source, path, contents):
    path.write_bytes(contents)
    with reported():
        list(every_image(make_source(DataConfig(source=source, path=path))))


def test_parquet(tmp_path):
    path = tmp_path / 'a.parquet'
    columns = made.labelled(pa.array([made.IMAGE] * 6))
    structs = pa.array([{'bytes': b'1', 'path': 'a.jpg'}, None] * 3)
    valid = [
        made.parquet_of(path, columns, made.PETS).read_bytes(),
        made.parquet_of(path, made.labelled(structs), made.PETS).read_bytes(),
        made.parquet_of(path, columns, made.PETS, compression='zstd', version='1.0').read_bytes(),
        made.parquet_of(
            path, [columns[0], ('label', pa.array(['cat', 'dog'] * 3))], data_page_version='2.0'
        ).read_bytes(),
    ]

    fuzz(lambda contents: read('parquet', path, contents), mutations(valid))


def test_archives(tmp_path):
    files = {'cats/a.jpg': made.IMAGE, 'dogs/b.png': b'2' * 3000}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, 'w', zipfile.ZIP_DEFLATED) as target:
        for name, contents in files.items():
            target.writestr(name, contents)
    valid = [packed.getvalue()]
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode='w', format=kind) as target:
            for name, contents in files.items():
                entry = tarfile.TarInfo(f'{"long" * 30}/{name}')
                entry.size = len(contents)
                target.addfile(entry, io.BytesIO(contents))
        valid += [packed.getvalue(), gzip.compress(packed.getvalue())]
    path, number = tmp_path / 'a.tar', iter(range(10**9))

    def check(contents):
        path.write_bytes(contents)
        target = tmp_path / 'extracted' / str(next(number))
        with reported():
            list(call(Limits.for_file(path), archive.extract_archive, path, target))
        outside = {each.name for each in tmp_path.iterdir()}
        assert outside <= {'a.tar', 'extracted', 'extracted.lock'}

    fuzz(check, mutations(valid))


def test_csv_files(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(made.IMAGE)
    (tmp_path / 'b.png').write_bytes(b'2' * 3000)
    path = tmp_path / 'a.csv'
    valid = [
        b'path,label\na.jpg,cat\nb.png,dog\n',
        b'\xef\xbb\xbffile;class;split\r\n"a.jpg";"cat ""1""";train\r\nb.png;dog;test\r\n',
        'image\tlabel\tsubject\na.jpg\tchat é\t1\n../b.png\tdog\t2\n'.encode(),
    ]

    fuzz(lambda contents: read('csv', path, contents), mutations(valid))
