"""Set-up scripts, offline: shell scripts stand for Python interpreters, pip and uv."""

import os
import re
import shutil
import subprocess
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

REPOSITORY = Path(__file__).parent.parent
SYSTEM_TOOLS = 'bash,cat,chmod,cut,dirname,grep,mkdir,rm,sed,sh,sha256sum,sort,tr'
# Interpreters: they answer find_python.sh (-), and bootstrap.sh about their version (-c).
WORKING = (
    'case "$1 $2" in -\\ *) echo headers $0 ;; *version*) echo ${0##*python} ;; -m*) exit 1 ;; esac'
)
NO_HEADERS = (
    'case "$1 $2" in -\\ *) echo none $0 ;; *version*) echo ${0##*python} ;; *) exit 1 ;; esac'
)
BROKEN_SHIM = "echo 'pyenv: python3.10: command not found' >&2; exit 127"
FAKE_UV = """
echo "$*" >>uv_calls
case "$1" in
    --version) echo "uv $(sed 's/uv==//' scripts/uv.in)" ;;
    venv)
        for last; do :; done
        mkdir -p $last/bin
        printf '#!/bin/sh\\necho 3.10\\n' >$last/bin/python
        chmod +x $last/bin/python
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
    set_glibc(folder, '2.36')
    return folder


def set_glibc(tools: Path, version: str) -> None:
    executable(tools / 'getconf', f'echo glibc {version}')


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout with the scripts, the lock files and a uv that only records its arguments."""
    folder = tmp_path / 'project'
    shutil.copytree(REPOSITORY / 'scripts', folder / 'scripts')
    shutil.copytree(REPOSITORY / 'locks', folder / 'locks')
    shutil.copy(REPOSITORY / 'setup.py', folder)
    executable(folder / '.tools/bin/uv', FAKE_UV)
    return folder


def call(script: Path, *args: str, path: list[Path], **variables: object):
    environment = {'PATH': os.pathsep.join(map(str, path)), 'HOME': '/nonexistent'}
    environment.update({name: str(value) for name, value in variables.items()})
    return subprocess.run([script, *args], env=environment, capture_output=True, text=True)


def find_python(*path: Path, versions: str = '3.10', **variables: object):
    script = REPOSITORY / 'scripts/find_python.sh'
    return call(script, *versions.split(), path=list(path), **variables)


def bootstrap(project: Path, *path: Path, level: str = 'run', **variables: object):
    return call(project / 'scripts/bootstrap.sh', level, path=list(path), **variables)


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


def test_first_call_installs_lock_and_project(tools, project):
    python = executable(tools / 'python3.10', WORKING)
    assert bootstrap(project, tools).returncode == 0

    venv, sync, install = uv_calls(project)
    assert venv.startswith('venv ')
    assert str(python) in venv
    assert '--require-hashes' in sync
    assert sync.endswith(' locks/legacy.txt')
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
    (project / 'locks/legacy.txt').write_text('absl-py==1.4.0\n')
    assert installed('run') == ['pip sync', 'pip install']


def test_interrupted_install_starts_again(tools, project):
    executable(tools / 'python3.10', WORKING)
    (project / 'uv_pip_fails').touch()
    assert bootstrap(project, tools).returncode == 1
    (project / 'uv_pip_fails').unlink()
    uv_calls(project)

    assert bootstrap(project, tools).returncode == 0
    assert uv_calls(project)[0].startswith('venv --quiet --clear')


@pytest.mark.parametrize(
    ('glibc', 'pythons', 'asked', 'chosen'),
    [
        ('2.36', '3.10', None, '3.10 legacy'),
        ('2.36', '3.10 3.12', None, '3.10 legacy'),
        ('2.39', '3.10 3.12', None, '3.12 current'),
        ('2.41', '3.12 3.13', None, '3.13 current'),
        ('2.41', '3.10 3.14', None, '3.10 legacy'),
        ('2.41', '3.10 3.13', 'legacy', '3.10 legacy'),
        ('2.41', '3.10 3.13', 'current', '3.13 current'),
    ],
)
def test_system_or_variable_chooses_the_stack(tools, project, glibc, pythons, asked, chosen):
    set_glibc(tools, glibc)
    for each in pythons.split():
        executable(tools / f'python{each}', WORKING)

    variables = {'CATDOG_STACK': asked} if asked else {}
    result = bootstrap(project, tools, level='dev', **variables)

    assert result.returncode == 0, result.stderr
    python, stack = chosen.split()
    venv, sync, _ = uv_calls(project)
    assert venv.endswith(f'--python {tools}/python{python} .venv')
    assert sync.endswith(f' locks/{stack}.txt locks/{stack}-dev.txt')


@pytest.mark.parametrize(
    ('dnf', 'packages'),
    [
        (False, 'apt-get install g++ python3-pip python3.10-dev'),
        (True, 'dnf install gcc-c++ python3-pip python3.10-devel'),
    ],
)
def test_everything_that_is_missing_is_one_error_line(tools, project, dnf, packages):
    shutil.rmtree(project / '.tools')
    (tools / 'g++').unlink()
    python = executable(tools / 'python3.10', NO_HEADERS)
    if dnf:
        executable(tools / 'dnf', 'exit 0')

    result = bootstrap(project, tools)

    assert (result.returncode, result.stderr) == (
        1,
        'bootstrap: this system lacks a C and C++ compiler and a Python 3 with pip and '
        f'the C headers of {python}: {packages}\n',
    )


def test_reports_missing_python(tools, project):
    result = bootstrap(project, tools)

    assert result.returncode == 1
    assert result.stderr.count('\n') == 1
    assert 'no CPython 3.10 was found and none could be downloaded' in result.stderr
    assert 'pyenv install 3.10' in result.stderr


@pytest.mark.parametrize(
    'name',
    [
        *sorted(str(path.relative_to(REPOSITORY)) for path in REPOSITORY.glob('locks/*.txt')),
        'scripts/uv.txt',
    ],
)
def test_lock_file_pins_hashes_and_names_no_index(name):
    lines = (REPOSITORY / name).read_text().splitlines()
    packages = [line for line in lines if line and not line.startswith((' ', '#'))]

    assert packages
    assert all('==' in line and line.endswith('\\') for line in packages)
    assert not any('://' in line or line.startswith('--') for line in lines)


@pytest.mark.parametrize(('stack', 'python'), [('legacy', '3.10'), ('current', '3.13')])
def test_locked_versions_satisfy_ranges_of_setup(stack, python):
    lock = (REPOSITORY / f'locks/{stack}.txt').read_text()
    locked = dict(re.findall(r'^([\w.-]+)==([^ ;]+)', lock, re.MULTILINE))
    environment = {'python_version': python, 'python_full_version': f'{python}.0', 'extra': ''}
    # Plain pip takes an older protobuf on legacy; the others are bounds for it.
    names = re.findall(r'^[\w.-]+', (REPOSITORY / 'requirements.in').read_text(), re.MULTILINE)
    ours = {*names} - ({'protobuf'} if stack == 'legacy' else set())
    declared = [
        requirement
        for requirement in map(Requirement, requires('catdog-pipeline') or [])
        if requirement.name in ours
        and (not requirement.marker or requirement.marker.evaluate(environment))
    ]

    assert {'tfx', 'tensorflow', 'keras'} <= {requirement.name for requirement in declared}
    for requirement in declared:
        assert requirement.specifier.contains(locked[requirement.name]), str(requirement)
