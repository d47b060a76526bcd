"""The git commit of the code."""

import os
import shutil
import subprocess

import pytest

from pipeline.code_version import git_commit

pytestmark = pytest.mark.needs(shutil.which('git'), 'git is not installed')
PEOPLE = ('GIT_AUTHOR_NAME', 'GIT_AUTHOR_EMAIL', 'GIT_COMMITTER_NAME', 'GIT_COMMITTER_EMAIL')


@pytest.fixture
def checkout(tmp_path):
    """A folder with one committed file."""
    folder = tmp_path / 'checkout'
    folder.mkdir()
    (folder / 'code.py').write_text('1')
    environment = os.environ | dict.fromkeys(PEOPLE, 'ann@host')
    for words in (['init'], ['add', '.'], ['commit', '-m', 'first', '--no-gpg-sign']):
        subprocess.run(
            ['git', *words],
            cwd=folder,
            env=environment,
            check=True,
        )
    return folder


def test_names_commit_and_changes_of_tracked_files(checkout):
    head = subprocess.run(
        ['git', 'rev-parse', 'HEAD'], cwd=checkout, capture_output=True, text=True, check=True
    ).stdout.strip()
    (checkout / 'photographs').mkdir()
    (checkout / 'photographs' / 'cat.jpg').touch()
    clean = git_commit(checkout)
    git_commit.cache_clear()
    (checkout / 'code.py').write_text('2')

    assert clean == head
    assert git_commit(checkout) == f'{head} + changes'


def test_checkout_of_another_project_is_not_named(checkout, monkeypatch):
    installed = checkout / 'site-packages'
    installed.mkdir()
    monkeypatch.setenv('GIT_DIR', str(checkout / '.git'))

    assert git_commit(installed) is None


@pytest.mark.parametrize('program', ['exit 128', 'echo "# branch.oid (initial)"'])
def test_unusable_git_gives_no_commit(tmp_path, monkeypatch, program):
    (tmp_path / '.git').mkdir()
    (tmp_path / 'git').write_text(f'#!/bin/sh\n{program}\n')
    (tmp_path / 'git').chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')

    assert git_commit(tmp_path) is None


def test_system_without_git_gives_no_commit(tmp_path, monkeypatch):
    (tmp_path / '.git').mkdir()
    monkeypatch.setenv('PATH', str(tmp_path))

    assert git_commit(tmp_path) is None
