"""The git commit of the code."""

import os
import shutil
import subprocess

import pytest

from pipeline.code_version import git_commit

pytestmark = pytest.mark.needs(shutil.which('git'), 'git is not installed')
PEOPLE = ('GIT_AUTHOR_NAME', 'GIT_AUTHOR_EMAIL', 'GIT_COMMITTER_NAME', 'GIT_COMMITTER_EMAIL')


def git(folder, *words):
    environment = os.environ | dict.fromkeys(PEOPLE, 'ann@host')
    command = ['git', '-C', str(folder), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_names_commit_and_changes_of_tracked_files(tmp_path):
    git(tmp_path, 'init')
    assert git_commit(tmp_path) is None
    (tmp_path / 'code.py').write_text('1')
    git(tmp_path, 'add', '.')
    git(tmp_path, 'commit', '-m', 'first', '--no-gpg-sign')
    head = git(tmp_path, 'rev-parse', 'HEAD')

    (tmp_path / 'site-packages').mkdir()
    (tmp_path / 'site-packages' / 'untracked').touch()
    git_commit.cache_clear()
    assert git_commit(tmp_path) == head
    assert git_commit(tmp_path / 'site-packages') is None  # a package in the checkout of another

    (tmp_path / 'code.py').write_text('2')
    git_commit.cache_clear()
    assert git_commit(tmp_path) == f'{head} + changes'


def test_system_without_git_gives_no_commit(tmp_path, monkeypatch):
    (tmp_path / '.git').mkdir()
    monkeypatch.setenv('PATH', str(tmp_path))
    assert git_commit(tmp_path) is None
