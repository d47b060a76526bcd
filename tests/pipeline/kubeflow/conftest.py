"""A fake Kubeflow server, a client connected to it, and a compiled pipeline."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import kfp
import pytest
from fake_server import FakeKubeflow

from pipeline.config.kubeflow_connection import ConnectionConfig
from pipeline.kubeflow.client import connect


@pytest.fixture(autouse=True)
def empty_home(tmp_path, monkeypatch):
    """Hides the developer's kfp settings and clusters."""
    home = tmp_path / 'home'
    home.mkdir()
    monkeypatch.setenv('HOME', str(home))
    monkeypatch.setattr(kfp.Client, '_LOCAL_KFP_CONTEXT', str(home / '.config/kfp/context.json'))
    for name in ('ENDPOINT', 'UI_ENDPOINT', 'IAP_OAUTH2_CLIENT_ID', 'OVERRIDE_EXPERIMENT_NAME'):
        monkeypatch.delenv(f'KF_PIPELINES_{name}', raising=False)


@pytest.fixture
def kubeflow() -> Iterator[FakeKubeflow]:
    with FakeKubeflow() as fake:
        yield fake


@pytest.fixture
def connected(kubeflow) -> Iterator[Callable[..., kfp.Client]]:
    """`connected(**config)` connects a client to the fake, and closes it after the test."""
    with contextlib.ExitStack() as stack:

        def connect_to_fake(**values) -> kfp.Client:
            client = connect(ConnectionConfig(**{'host': kubeflow.url, **values}))
            stack.callback(client._healthz_api.api_client.rest_client.pool_manager.clear)
            return client

        yield connect_to_fake


@pytest.fixture
def client(connected) -> kfp.Client:
    return connected()


@pytest.fixture(scope='session')
def package(tmp_path_factory) -> Path:
    """A compiled pipeline with one container task."""

    @kfp.dsl.container_component
    def say(word: str):
        return kfp.dsl.ContainerSpec(image='busybox', command=['echo'], args=[word])

    @kfp.dsl.pipeline(name='greeting')
    def greeting(word: str = 'hello'):
        say(word=word)

    path = tmp_path_factory.mktemp('package') / 'greeting.yaml'
    kfp.compiler.Compiler().compile(greeting, str(path))
    return path
