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


def test_package_in_the_checkout_of_another_project_has_no_commit(checkout):
    (checkout / 'site-packages').mkdir()

    assert git_commit(checkout / 'site-packages') is None


def test_checkout_without_a_commit_has_none(tmp_path):
    subprocess.run(['git', 'init'], cwd=tmp_path, check=True)

    assert git_commit(tmp_path) is None


def test_system_without_git_gives_no_commit(tmp_path, monkeypatch):
    (tmp_path / '.git').mkdir()
    monkeypatch.setenv('PATH', str(tmp_path))

    assert git_commit(tmp_path) is None
