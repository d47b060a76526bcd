"""Engines for compiled Kubeflow pipelines: emulated, or the programs of a release."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import bucket_servers
import pytest
from kubeflow_emulator import KubeflowRun

_PROGRAMS = 'CATDOG_KFP_DRIVER', 'CATDOG_KFP_LAUNCHER'


@pytest.fixture(scope='session')
def kubeflow(request) -> Callable[[str], Callable[..., KubeflowRun]]:
    """`kubeflow(engine)(package, folder, only, **parameters)` creates a run.

    The engine is 'emulated', or 'programs': driver and launcher whose paths are in
    CATDOG_KFP_DRIVER and CATDOG_KFP_LAUNCHER.
    """

    def choose(engine: str) -> Callable[..., KubeflowRun]:
        return KubeflowRun if engine == 'emulated' else request.getfixturevalue('kubeflow_programs')

    return choose


@pytest.fixture(scope='session')
def kubeflow_programs(request, tmp_path_factory) -> Iterator[Callable[..., KubeflowRun]]:
    if not all(os.environ.get(name) for name in _PROGRAMS):
        pytest.skip(f'{" and ".join(_PROGRAMS)} are not set, see docs/explanation/kubeflow.md')
    driver, launcher = (Path(os.environ[name]).absolute() for name in _PROGRAMS)
    server = request.getfixturevalue('running_s3_server')
    with pytest.MonkeyPatch.context() as patch:
        bucket_servers.set_variables(patch, server.variables)
        bucket = bucket_servers.Bucket('s3', server)

    from kubeflow_programs import KubeflowProgramsRun, start_backend

    folder = tmp_path_factory.mktemp('backend')
    with start_backend(driver, launcher, folder, bucket) as backend:
        yield functools.partial(KubeflowProgramsRun, backend)
