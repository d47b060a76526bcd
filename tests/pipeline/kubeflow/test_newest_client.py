"""The client scenario with the newest kfp, in its own environment (it needs another protobuf)."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
NEEDED = ['kfp', 'pydantic', 'pyyaml', 'cronsim', 'cron-descriptor', 'tzdata']
CERTIFICATES = Path('/etc/ssl/certs/ca-certificates.crt')
UNREACHABLE = re.compile(
    r'Failed to fetch|error sending request|dns error|tcp connect|timed out', re.I
)


@pytest.fixture(scope='session')
def newest_python(tmp_path_factory) -> Path:
    """A Python interpreter with the newest kfp; takes two seconds if uv has it in its cache."""
    bundled = REPOSITORY / '.tools/bin/uv'
    uv = str(bundled) if bundled.exists() else shutil.which('uv')
    if uv is None:
        pytest.skip('uv is not installed')
    folder = tmp_path_factory.mktemp('newest')
    python = folder / '.venv/bin/python'
    # --no-config: ignore the version constraints in pyproject.toml.
    for command in (
        ['venv', '--no-config', '--python', sys.executable, '.venv'],
        ['pip', 'install', '--no-config', '--python', str(python), *NEEDED],
    ):
        done = subprocess.run(
            [uv, '--quiet', *command],
            cwd=folder,
            env=_environment_of_uv(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        if UNREACHABLE.search(done.stderr):
            pytest.skip(
                f'the package index cannot be reached: {done.stderr.strip().splitlines()[-1]}'
            )
        assert done.returncode == 0, done.stderr
    return python


def _environment_of_uv() -> dict[str, str]:
    """Passes the package index and certificates of pip to uv, as scripts/bootstrap.sh does."""
    environment = {'UV_PYTHON_DOWNLOADS': 'never', **os.environ}
    if 'PIP_INDEX_URL' in environment:
        environment.setdefault('UV_DEFAULT_INDEX', environment['PIP_INDEX_URL'])
    if CERTIFICATES.exists():
        environment.setdefault('UV_SYSTEM_CERTS', 'true')
    return environment


def test_scenario_with_newest_kfp(newest_python, kubeflow, package, tmp_path):
    environment = {
        'HOME': str(tmp_path),
        'PATH': os.environ['PATH'],
        'PYTHONPATH': str(REPOSITORY),
        'SCENARIO_TOKEN': 'abc123',
    }
    script = Path(__file__).with_name('scenario.py')
    done = subprocess.run(
        [newest_python, script, kubeflow.url, package],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (done.returncode, done.stderr) == (0, '')
    results = json.loads(done.stdout)
    assert _version(results['kfp']) > _version(version('kfp'))
    assert results['schedules'] == [['nightly', '0 30 4 * * 0', True]]
    assert (results['run']['id'], results['left']) == (kubeflow.runs[0]['run_id'], 0)
    assert [message.count('\n') for message in results['errors']] == [0, 0, 0]
    assert 'Bearer abc123' in {each.headers.get('authorization') for each in kubeflow.requests}


def _version(text: str) -> list[int]:
    return [int(number) for number in re.findall(r'\d+', text)[:3]]
