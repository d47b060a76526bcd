"""The set-up scripts, offline: interpreters, pip and uv are small shell scripts."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parent.parent
SYSTEM_TOOLS = [
    'bash',
    'cat',
    'chmod',
    'cut',
    'dirname',
    'mkdir',
    'rm',
    'sed',
    'sh',
    'sha256sum',
    'sort',
    'tr',
]
USABLE = 'echo $0'
BROKEN_SHIM = "echo 'pyenv: python3.10: command not found' >&2; exit 127"
FAKE_UV = """
echo "$*" >>uv_calls
case "$1" in
    --version) echo "uv $(sed 's/uv==//' scripts/uv.in)" ;;
    venv)
        mkdir -p .venv/bin
        printf '#!/bin/sh\\necho 3 10\\n' >.venv/bin/python
        chmod +x .venv/bin/python
        ;;
    python) exit 1 ;;
    pip) [ ! -e uv_pip_fails ] ;;
esac
"""


def executable(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n{body}\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH with what the scripts call, and no Python of any kind."""
    folder = tmp_path / 'tools'
    folder.mkdir()
    for name in SYSTEM_TOOLS:
        (folder / name).symlink_to(str(shutil.which(name)))
    for name in ('gcc', 'g++'):
        executable(folder / name, 'exit 0')
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with the scripts, the locks and a uv that only notes how it was called."""
    folder = tmp_path / 'project'
    shutil.copytree(REPOSITORY / 'scripts', folder / 'scripts')
    for name in ('requirements.txt', 'requirements-dev.txt', 'setup.py'):
        shutil.copy(REPOSITORY / name, folder)
    executable(folder / '.tools/bin/uv', FAKE_UV)
    return folder


def call(script: Path, *args: str, path: list[Path], **variables: object):
    environment = {'PATH': os.pathsep.join(map(str, path)), 'HOME': '/nonexistent'}
    environment.update({name: str(value) for name, value in variables.items()})
    return subprocess.run([script, *args], env=environment, capture_output=True, text=True)


def find_python(*path: Path, **variables: object):
    return call(REPOSITORY / 'scripts/find_python.sh', path=list(path), **variables)


def bootstrap(project: Path, *path: Path, level: str = 'run'):
    return call(project / 'scripts/bootstrap.sh', level, path=list(path))


def uv_calls(project: Path) -> list[str]:
    """What uv was asked to do since the last look, without the questions for its version."""
    log = project / 'uv_calls'
    calls = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return [line for line in calls if line != '--version']


def test_the_first_python_on_path_that_starts_is_found(tmp_path, tools):
    executable(tmp_path / 'shims/python3.10', BROKEN_SHIM)
    working = executable(tmp_path / 'bin/python3.10', USABLE)
    executable(tmp_path / 'later/python3.10', USABLE)

    found = find_python(tmp_path / 'shims', tmp_path / 'bin', tmp_path / 'later', tools)

    assert found.stdout.strip() == str(working)


def test_the_newest_python_of_pyenv_is_found_behind_a_broken_shim(tmp_path, tools):
    versions = tmp_path / 'home/.pyenv/versions'
    for number in ('3.9.18', '3.10.4', '3.10.13', '3.11.7'):
        executable(versions / number / 'bin/python3.10', USABLE)
    executable(tmp_path / 'shims/python3.10', BROKEN_SHIM)

    found = find_python(tmp_path / 'shims', tools, HOME=tmp_path / 'home')

    assert found.stdout.strip() == str(versions / '3.10.13/bin/python3.10')


def test_the_newest_python_of_pyenv_that_starts_is_found(tmp_path, tools):
    executable(tmp_path / 'root/versions/3.10.13/bin/python3.10', BROKEN_SHIM)
    older = executable(tmp_path / 'root/versions/3.10.4/bin/python3.10', USABLE)

    found = find_python(tools, PYENV_ROOT=tmp_path / 'root')

    assert found.stdout.strip() == str(older)


@pytest.mark.parametrize('name', ['pyenv', 'python3'])
def test_pyenv_is_found_through_path_where_home_is_empty(tmp_path, tools, name):
    python = executable(tmp_path / 'pyenv/versions/3.10.13/bin/python3.10', USABLE)
    executable(tmp_path / 'bin' / name, f'echo {tmp_path}/pyenv')

    found = find_python(tmp_path / 'bin', tools)

    assert found.stdout.strip() == str(python)


def test_the_interpreter_itself_is_found_behind_a_virtual_environment(tools):
    found = find_python(Path(sys.prefix) / 'bin', tools)

    assert found.stdout.strip() == f'{sys.base_prefix}/bin/python3.10'


def test_no_python_is_reported_by_the_exit_code_alone(tools):
    found = find_python(tools)

    assert (found.returncode, found.stdout, found.stderr) == (1, '', '')


def test_the_first_call_installs_the_lock_and_the_project(tmp_path, tools, project):
    python = executable(tmp_path / 'bin/python3.10', USABLE)

    assert bootstrap(project, tmp_path / 'bin', tools).returncode == 0

    venv, sync, install = uv_calls(project)
    assert venv.startswith('venv ')
    assert str(python) in venv
    assert '--require-hashes' in sync
    assert sync.endswith(' requirements.txt')
    assert '--offline --no-deps --no-build-isolation' in install
    assert install.endswith('--editable .')


def test_the_second_call_does_nothing(tmp_path, tools, project):
    executable(tmp_path / 'bin/python3.10', USABLE)
    bootstrap(project, tmp_path / 'bin', tools, level='dev')
    uv_calls(project)

    for level in ('dev', 'run'):
        again = bootstrap(project, tools, level=level)
        assert (again.returncode, again.stdout, again.stderr) == (0, '', '')
    assert uv_calls(project) == []


def test_tests_add_their_lock_to_what_a_run_needed(tmp_path, tools, project):
    executable(tmp_path / 'bin/python3.10', USABLE)
    bootstrap(project, tmp_path / 'bin', tools)
    uv_calls(project)

    bootstrap(project, tmp_path / 'bin', tools, level='dev')

    sync, _ = uv_calls(project)
    assert sync.endswith(' requirements.txt requirements-dev.txt')


def test_a_changed_lock_is_installed_over_the_old_one(tmp_path, tools, project):
    executable(tmp_path / 'bin/python3.10', USABLE)
    bootstrap(project, tmp_path / 'bin', tools)
    uv_calls(project)
    (project / 'requirements.txt').write_text('absl-py==1.4.0\n')

    bootstrap(project, tmp_path / 'bin', tools)

    assert [line.split(' --')[0] for line in uv_calls(project)] == ['pip sync', 'pip install']


def test_an_install_that_was_cut_off_starts_afresh(tmp_path, tools, project):
    executable(tmp_path / 'bin/python3.10', USABLE)
    (project / 'uv_pip_fails').touch()
    assert bootstrap(project, tmp_path / 'bin', tools).returncode == 1
    (project / 'uv_pip_fails').unlink()
    uv_calls(project)

    assert bootstrap(project, tmp_path / 'bin', tools).returncode == 0

    assert uv_calls(project)[0].startswith('venv --quiet --clear')


def test_one_sentence_says_what_to_install_where_no_python_can_be_had(tools, project):
    result = bootstrap(project, tools)

    assert result.returncode == 1
    assert result.stderr.count('\n') == 1
    assert 'no CPython 3.10 was found and none could be downloaded' in result.stderr
    assert 'pyenv install 3.10' in result.stderr


@pytest.mark.parametrize('python3', [None, 'exit 1'], ids=['no python3', 'python3 without pip'])
def test_one_sentence_asks_for_python_with_pip(tmp_path, tools, project, python3):
    shutil.rmtree(project / '.tools')
    if python3:
        executable(tmp_path / 'bin/python3', python3)

    result = bootstrap(project, tmp_path / 'bin', tools)

    assert result.returncode == 1
    assert result.stderr == (
        'bootstrap: no Python 3 with pip was found: install python3 and its pip (python3-pip).\n'
    )


def test_uv_is_fetched_by_pip_with_its_hash(tmp_path, tools, project):
    shutil.rmtree(project / '.tools')
    executable(
        tmp_path / 'bin/python3', 'case "$*" in *install*) echo "$*" >pip_call; exit 1 ;; esac'
    )

    result = bootstrap(project, tmp_path / 'bin', tools)

    assert 'could not fetch uv' in result.stderr
    assert (
        '--require-hashes --target .tools -r scripts/uv.txt' in (project / 'pip_call').read_text()
    )


def test_every_package_of_the_locks_has_a_hash_and_no_index():
    for name in (
        'requirements.txt',
        'requirements-dev.txt',
        'scripts/uv.txt',
        'scripts/compiler.txt',
    ):
        lines = (REPOSITORY / name).read_text().splitlines()
        packages = [line for line in lines if line and not line.startswith((' ', '#'))]
        assert packages
        assert all('==' in line and line.endswith('\\') for line in packages), name
        assert not any('://' in line or line.startswith('--') for line in lines), name


def test_the_locked_versions_lie_in_the_ranges_that_setup_declares():
    declared = [Requirement(text) for text in requires('catdog-pipeline') or []]
    wanted = [r for r in declared if 'notebook' not in str(r.marker)]

    assert wanted
    for requirement in wanted:
        assert requirement.specifier.contains(version(requirement.name)), str(requirement)
