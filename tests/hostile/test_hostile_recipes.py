"""Hostile options and unreadable folders: one error line and exit code 2, in bounded time."""

import contextlib
import functools
import os
import re
import tempfile
from pathlib import Path

import click.testing
import pytest
from bounded import bounded

from pipeline_runner import main

LONG = 'x' * 5000
BOMB = '\n'.join(
    ['a0: &a0 [x, x, x, x, x, x, x, x, x]']
    + [f'a{level}: &a{level} [{", ".join([f"*a{level - 1}"] * 9)}]' for level in range(1, 10)]
)


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--data', ''], 'data.path: should be a path: not empty, '),
        (['--weights', ''], 'trainer.weights: String should have at least 1'),
        (['--config', LONG], 'xxx cannot be used: File name too long'),
        (['--config', ''], 'recipe  does not exist'),
        (['--set', f'{"a." * 3000}a=1'], 'unknown key'),
        (['--set', 'inference.path='], 'inference.path: '),
        (['\x1b[31m'], r'unexpected extra argument .*\\(u00|x)1b\[31m'),
    ],
    ids=lambda value: ' '.join(value)[:30] if isinstance(value, list) else '',
)
def test_hostile_options_end_with_code_2_and_one_line(options, words):
    done = click.testing.CliRunner().invoke(main, ['config', *options])

    assert done.exit_code == 2
    assert re.search(words, done.stderr)
    assert '\x1b' not in done.stderr


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        (BOMB, 'anchors .* and aliases .* are not supported'),
        ('a: ' + '[' * 100_000, 'nested too deeply'),
    ],
    ids=['alias bomb', 'deep nesting'],
)
def test_command_ends_in_bounded_memory_and_time(tmp_path, text, words):
    path = tmp_path / 'hostile.yaml'
    path.write_text(text)

    with bounded(megabytes=175, seconds=60):
        done = click.testing.CliRunner().invoke(main, ['config', '--config', str(path)])

    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert re.search(f'^error: .*{words}', line)


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
