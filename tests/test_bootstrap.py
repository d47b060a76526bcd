"""Set-up scripts, offline: shell scripts stand for Python interpreters, pip and uv."""

import os
import shutil
import subprocess
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parent.parent
SYSTEM_TOOLS = 'bash,cat,chmod,cut,dirname,mkdir,rm,sed,sh,sha256sum,sort,tr'
WORKING = 'echo $0'
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
    """A folder for PATH with the commands that the scripts call, without Python."""
    folder = tmp_path / 'tools'
    folder.mkdir()
    for name in SYSTEM_TOOLS.split(','):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name in ('gcc', 'g++'):
        executable(folder / name, 'exit 0')
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with the scripts, the lock files and a uv that only records its arguments."""
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
    """Arguments of the calls of uv since the last call of this function, without `--version`."""
    log = project / 'uv_calls'
    calls = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return [line for line in calls if line != '--version']


def test_finds_first_working_python_on_path(tmp_path, tools):
    executable(tmp_path / 'shims/python3.10', BROKEN_SHIM)
    working = executable(tmp_path / 'bin/python3.10', WORKING)
    executable(tmp_path / 'later/python3.10', WORKING)

    found = find_python(tmp_path / 'shims', tmp_path / 'bin', tmp_path / 'later', tools)

    assert found.stdout.strip() == str(working)


@pytest.mark.parametrize(
    'variables', [{'HOME': '{tmp}/home'}, {'PYENV_ROOT': '{tmp}/home/.pyenv'}], ids=str
)
def test_finds_newest_working_python_of_pyenv(tmp_path, tools, variables):
    versions = tmp_path / 'home/.pyenv/versions'
    for number in ('3.9.18', '3.10.4', '3.10.12', '3.11.7'):
        executable(versions / number / 'bin/python3.10', WORKING)
    executable(versions / '3.10.13/bin/python3.10', BROKEN_SHIM)
    executable(tmp_path / 'shims/python3.10', BROKEN_SHIM)

    values = {name: value.format(tmp=tmp_path) for name, value in variables.items()}
    found = find_python(tmp_path / 'shims', tools, **values)

    assert found.stdout.strip() == str(versions / '3.10.12/bin/python3.10')


@pytest.mark.parametrize('name', ['pyenv', 'python3'])
def test_finds_pyenv_through_path(tmp_path, tools, name):
    python = executable(tmp_path / 'pyenv/versions/3.10.13/bin/python3.10', WORKING)
    executable(tmp_path / 'bin' / name, f'echo {tmp_path}/pyenv')

    found = find_python(tmp_path / 'bin', tools)

    assert found.stdout.strip() == str(python)


def test_exits_silently_without_python(tools):
    found = find_python(tools)

    assert (found.returncode, found.stdout, found.stderr) == (1, '', '')


def test_first_call_installs_lock_and_project(tools, project):
    python = executable(tools / 'python3.10', WORKING)
    assert bootstrap(project, tools).returncode == 0

    venv, sync, install = uv_calls(project)
    assert venv.startswith('venv ')
    assert str(python) in venv
    assert '--require-hashes' in sync
    assert sync.endswith(' requirements.txt')
    assert '--offline --no-deps --no-build-isolation' in install
    assert install.endswith('--editable .')


def test_later_calls_install_only_changed_locks(tools, project):
    def installed(level: str) -> list[str]:
        assert bootstrap(project, tools, level=level).returncode == 0
        return [line.split(' --')[0] for line in uv_calls(project)]

    executable(tools / 'python3.10', WORKING)
    installed('run')
    assert installed('run') == []
    assert installed('dev') == ['pip sync', 'pip install']
    assert installed('run') == installed('dev') == []
    (project / 'requirements.txt').write_text('absl-py==1.4.0\n')
    assert installed('run') == ['pip sync', 'pip install']


def test_interrupted_install_starts_again(tools, project):
    executable(tools / 'python3.10', WORKING)
    (project / 'uv_pip_fails').touch()
    assert bootstrap(project, tools).returncode == 1
    (project / 'uv_pip_fails').unlink()
    uv_calls(project)

    assert bootstrap(project, tools).returncode == 0
    assert uv_calls(project)[0].startswith('venv --quiet --clear')


def test_reports_missing_python(tools, project):
    result = bootstrap(project, tools)

    assert result.returncode == 1
    assert result.stderr.count('\n') == 1
    assert 'no CPython 3.10 was found and none could be downloaded' in result.stderr
    assert 'pyenv install 3.10' in result.stderr


@pytest.mark.parametrize('python3', [None, 'exit 1'], ids=['no python3', 'python3 without pip'])
def test_reports_missing_pip(tmp_path, tools, project, python3):
    shutil.rmtree(project / '.tools')
    if python3:
        executable(tmp_path / 'bin/python3', python3)

    result = bootstrap(project, tmp_path / 'bin', tools)

    assert result.returncode == 1
    assert result.stderr == (
        'bootstrap: no Python 3 with pip was found: install python3 and its pip (python3-pip).\n'
    )


def test_pip_installs_uv_with_its_hash(tmp_path, tools, project):
    shutil.rmtree(project / '.tools')
    executable(
        tmp_path / 'bin/python3', 'case "$*" in *install*) echo "$*" >pip_call; exit 1 ;; esac'
    )

    result = bootstrap(project, tmp_path / 'bin', tools)

    assert 'could not fetch uv' in result.stderr
    assert (
        '--require-hashes --target .tools -r scripts/uv.txt' in (project / 'pip_call').read_text()
    )


@pytest.mark.parametrize(
    'name',
    ['requirements.txt', 'requirements-dev.txt', 'scripts/uv.txt', 'scripts/compiler.txt'],
)
def test_lock_file_pins_hashes_and_names_no_index(name):
    lines = (REPOSITORY / name).read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith((' ', '#'))]

    assert packages
    assert all('==' in line and line.endswith('\\') for line in packages)
    assert not any('://' in line or line.startswith('--') for line in lines)


def test_locked_versions_satisfy_ranges_of_setup():
    declared = [Requirement(text) for text in requires('catdog-pipeline') or []]
    locked = [each for each in declared if 'notebook' not in str(each.marker)]

    assert locked
    for requirement in locked:
        assert requirement.specifier.contains(version(requirement.name)), str(requirement)
