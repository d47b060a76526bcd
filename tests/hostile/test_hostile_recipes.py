"""Hostile recipes, values of `--set` and paths: one error line and exit code 2, in bounded time."""

import contextlib
import functools
import os
import re
import tempfile
import time
from pathlib import Path

import click.testing
import pytest
from hostile_runner import megabytes_of_imports, run_hostile

from common.errors import ConfigError
from pipeline.config.recipe import load_recipe, parse_override
from pipeline.config.recipe_yaml import MAX_BYTES
from pipeline_runner import main

LONG = 'x' * 5000
BOMB = '\n'.join(
    ['a0: &a0 [x, x, x, x, x, x, x, x, x]']
    + [f'a{level}: &a{level} [{", ".join([f"*a{level - 1}"] * 9)}]' for level in range(1, 10)]
    + ['data: {classes: *a9}']
)
VALUES = {  # of a key, in YAML: words of the error
    '2026-99-01': 'not a valid value of type timestamp',
    '2026-01-01 99:99:99': 'not a valid value of type timestamp',
    '!!timestamp x': 'not a valid value of type timestamp',
    '0b_': 'not a valid value of type int',
    '0x_': 'not a valid value of type int',
    '9' * 5000: 'not a valid value of type int',
    '!!int abc': 'not a valid value of type int',
    '!!int ""': 'not a valid value of type int',
    '!!float abc': 'not a valid value of type float',
    '!!float ""': 'not a valid value of type float',
    '!!bool foo': 'not a valid value of type bool',
    '!!binary é': 'failed to convert base64 data|cannot be encoded|non-ASCII',
    '!!python/object/apply:os.system [true]': 'could not determine a constructor for the tag',
    '!made-up 1': 'could not determine a constructor for the tag',
    '[' * 5000: 'nested more than 20 deep',
    '{a: ' * 5000: 'nested more than 20 deep',
    '&a [*a]': 'a value contains itself',
    '*a': 'found undefined alias',
    '0x' + 'f' * 5000: 'number out of range',
    '1.0e+308': 'number out of range',
    '-.inf': 'number out of range',
    '{[a]: 1}': 'found unhashable key',
    '"\x07"': 'special characters are not allowed',
    f'[{"1, " * 20_000}]': 'more than 10,000 values',
}
RECIPES = {  # words of the error, and where it is
    'data: {checks: {max_megabytes: 1.0e+308}}': 'line 1, column 32: number out of range',
    'data: {checks: {max_megabytes: 1.0e+14}}': 'data.checks.max_megabytes: input should be less',
    'data: {checks: {max_megapixels: .nan}}': 'max_megapixels: input should be',
    'data: {path: ""}': 'data.path: should be a path: not empty, ',
    'data: {path: "a\\0b"}': 'data.path: should be a path: not empty, and without null bytes',
    f'data: {{path: {LONG}}}': 'data.path: path too long: names have at most 255 bytes',
    f'data: {{path: {"a/" * 2500}}}': 'data.path: path too long',
    f'workdir: {LONG}': 'workdir: path too long',
    'data: {path: "\\uD800"}': 'data.path: ',
    'data: {count: 1000000000000}': 'data.count: input should be less than or equal to 10000000',
    'data: {group_by: {pattern: "(a{99999999999999999999})"}}': 'data.group_by.pattern: ',
    'trainer: {batch_size: true}': 'trainer.batch_size: should be a number, not true or false',
    'trainer: {head: {hidden: [true]}}': 'trainer.head.hidden: should be a number, not true or',
    'trainer: {class_weights: {cats: yes}}': 'trainer.class_weights: should be a number, not true',
    'trainer: {head: {hidden: [1000000000]}}': 'trainer.head.hidden.0: input should be less than',
    'trainer: {weights: ""}': 'trainer.weights: string should have at least 1 character',
    'retrain: {backoff_seconds: 1.0e+12}': 'retrain.backoff_seconds: input should be less than',
    'beam: {num_workers: 1000000}': 'beam.num_workers: input should be less than or equal to 1024',
    f'name: {"a" * 5000}': 'name: string should have at most 100 characters',
    'kubeflow: {environment: {"A=B": x}}': 'kubeflow.environment: names of variables have',
    'kubeflow: {environment: {"": x}}': 'kubeflow.environment: names of variables have',
    'kubeflow: {environment: {A: "x\\0"}}': 'environment.A: its value contains a null byte',
    'kubeflow: {secrets: [{secret: a, key: b, env: 1A}]}': 'secrets.0.env: names of variables',
    f'data: {{url: "http://host/{LONG}"}}': 'data.url: .*should have at most 2000 characters',
    'metadata: {address: "grpc://host:99999"}': 'metadata.address: the port should be between 1',
    f'metadata: {{address: "grpc://host:{"9" * 5000}"}}': "metadata.address: expected 'sqlite', ",
    '{1: 2, null: 3, 2026-01-01: 4}': 'unknown key|should be strings',
    '"\\uD800": 1': 'unknown key|unicode',
    '"\\e[31m": 1': 'unknown key',
    f'? {LONG}\n: 1': 'unknown key; valid keys',
    BOMB: 'line 5, column .*: more than 10,000 values, with those that aliases repeat$',
    '\n'.join(f'key{number}: 1' for number in range(3000)): '2980 more mistakes$',
}


@pytest.fixture
def write(tmp_path):
    def write_recipe(text: str | bytes) -> Path:
        path = tmp_path / 'hostile.yaml'
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_recipe


@pytest.fixture(autouse=True)
def within_seconds():
    """A generous limit of CPU time for each case."""
    start = time.process_time()
    yield
    assert time.process_time() - start < 30


def check_message(error, words):
    """At most 21 short lines, which are printable, and contain the words."""
    text = str(error.value)
    assert re.search(words, text)
    assert len(text) < 21 * 600


def ids(table):
    return [repr(text[:30]) for text in table]


@pytest.mark.parametrize(('value', 'words'), VALUES.items(), ids=ids(VALUES))
def test_invalid_value_is_one_error_in_file_and_option(write, value, words):
    path = write(f'trainer:\n  seed: {value}')

    with pytest.raises(ConfigError) as error:
        load_recipe(str(path))
    check_message(error, f'^{path} is not YAML: .*({words})')

    with pytest.raises(ConfigError) as error:
        parse_override(f'trainer.seed={value}')
    check_message(error, f'^--set trainer.seed: not a YAML value: .*({words})')


@pytest.mark.parametrize(('text', 'words'), RECIPES.items(), ids=ids(RECIPES))
def test_hostile_recipe_is_reported(write, text, words):
    path = write(text)

    with pytest.raises(ConfigError) as error:
        load_recipe(str(path))

    check_message(error, words)
    assert all(line.startswith(f'{path}') for line in str(error.value).splitlines())


@pytest.mark.parametrize(
    ('contents', 'words'),
    [
        (b'a: ' + b'x' * MAX_BYTES, 'hostile.yaml has more than 200 kB; a recipe is smaller$'),
        (b'\xff\xfe\x00', 'cannot be read: it is not UTF-8$'),
        (b'a: \x00', 'is not YAML: unacceptable character'),
        (b'%YAML ' + b'9' * 5000 + b'.1\n---\na: 1', 'is not YAML: a number has too many digits$'),
        (b'', 'is not a mapping'),
        (b'- ' * MAX_BYTES, 'has more than 200 kB'),
        (b'# ' * (MAX_BYTES // 2), 'is not a mapping'),
        (b'?' * MAX_BYTES, 'is not a mapping'),
        (b'a' * MAX_BYTES, 'is not a mapping'),
        (b'"' + b'\\n' * (MAX_BYTES // 2 - 1) + b'"', 'is not a mapping'),
        (b'[' + b'a,' * (MAX_BYTES // 2 - 1) + b']', 'more than 10,000 values'),
        (b'a: |\n' + b' x\n' * (MAX_BYTES // 3 - 2), 'unknown key'),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else '',
)
def test_large_and_binary_files_are_reported(write, contents, words):
    with pytest.raises(ConfigError) as error:
        load_recipe(str(write(contents)))
    check_message(error, words)


@pytest.mark.parametrize('key', ['trainer.seed', 'data.count', 'trainer.batch_size', 'push.keep'])
def test_numbers_are_no_booleans(key):
    with pytest.raises(ConfigError, match=f'{key}: should be a number, not true or false, got T'):
        load_recipe('demo', [(key, True)])


def test_keys_that_take_booleans_still_do():
    recipe = load_recipe('demo', [('trainer.augment.flip', True), ('trainer.cache', False)])
    assert (recipe.trainer.augment.flip, recipe.trainer.cache) == (True, False)


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--data', ''], 'data.path: should be a path: not empty, '),
        (['--data', LONG], 'data.path: path too long'),
        (['--data', f'{LONG}.zip'], 'data.path: path too long'),
        (['--workdir', ''], 'workdir: should be a path: not empty, '),
        (['--workdir', LONG], 'workdir: path too long'),
        (['--weights', ''], 'trainer.weights: string should have at least 1'),
        (['--config', LONG], 'xxx cannot be read: File name too long'),
        (['--config', ''], 'recipe  does not exist'),
        (['--set', 'x' * 3000], 'expected KEY=VALUE'),
        (['--set', f'{"a." * 3000}a=1'], 'unknown key'),
        (['--set', 'data.checks.max_megabytes=1.0e+308'], 'number out of range'),
        (['--set', 'trainer.batch_size=true'], 'should be a number, not true or false'),
        (['--set', 'inference.path='], 'inference.path: '),
        (['\x1b[31m'], r'unexpected extra argument .*\\(u00|x)1b\[31m'),
    ],
    ids=lambda value: ' '.join(value)[:30] if isinstance(value, list) else '',
)
def test_hostile_options_end_with_code_2_and_one_line(options, words):
    done = click.testing.CliRunner().invoke(main, ['config', *options])

    assert done.exit_code == 2
    assert re.search(words, done.stderr)
    assert len(done.stderr) < 1000
    assert '\x1b' not in done.stderr


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        (BOMB, 'more than 10,000 values'),
        ('a: ' + '[' * 100_000, 'nested more than 20 deep'),
        ('\n'.join(f'a{number}: {{b: [1, 2]}}' for number in range(450_000)), 'more than 200 kB'),
    ],
    ids=['alias bomb', 'deep nesting', '10 MB'],
)
def test_command_ends_in_bounded_memory_and_time(write, text, words):
    options = ['pipeline_runner.py', 'config', '--config', str(write(text))]

    done = run_hostile(options, timeout=120)

    assert done.exit_code == 2
    (line,) = done.output.splitlines()
    assert line.startswith('error: ')
    assert re.search(words, line)
    assert done.peak_megabytes < megabytes_of_imports('pipeline_runner') + 175
    assert done.cpu_seconds < 60


@pytest.fixture
def closed():
    """A folder that only root can read."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's folders are closed themselves
        closed = Path(folder, 'closed')
        (closed / 'pets' / 'cats').mkdir(parents=True)
        closed.parent.chmod(0o777)
        closed.chmod(0)
        yield closed
        closed.chmod(0o700)


@contextlib.contextmanager
def without_rights_of_root():
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize(
    'options',
    [
        ['--data', '{closed}'],
        ['--data', '{closed}/pets'],
        ['--weights', '{closed}/weights.h5'],
        ['--set', 'inference.path={closed}/new'],
        ['--workdir', '{closed}'],
        ['--config', '{closed}/recipe.yaml'],
    ],
    ids=lambda options: ' '.join(options),
)
def test_folder_without_permission_is_one_line(closed, options):
    words = [each.format(closed=closed) for each in options]
    workdir = [] if '--workdir' in words else ['--workdir', str(closed.parent)]
    call = functools.partial(click.testing.CliRunner().invoke, main)
    call(['run', '--workdir', f'{closed.parent}/root', '--data', 'nowhere'])  # imports as root

    with without_rights_of_root():
        done = call(['run', *workdir, *words])

    assert done.exit_code == 2, done.output
    *_, line = done.stderr.splitlines()
    assert re.search(f'^error: .*{closed}.*: Permission denied$', line)
