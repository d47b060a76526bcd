"""A fake Kubeflow server, and a client connected to it."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_server import FakeKubeflow

from pipeline.config.kubeflow import ConnectionConfig
from pipeline.kubeflow.client import KubeflowClient


@pytest.fixture
def kubeflow(monkeypatch) -> Iterator[FakeKubeflow]:
    monkeypatch.delenv('KF_PIPELINES_ENDPOINT', raising=False)
    with FakeKubeflow() as fake:
        yield fake


@pytest.fixture
def connect(kubeflow) -> Iterator[Callable[..., KubeflowClient]]:
    """`connect(**config)` connects a client to the fake, and closes it after the test."""
    with contextlib.ExitStack() as stack:

        def connect_to_fake(**values) -> KubeflowClient:
            client = KubeflowClient(ConnectionConfig(**{'host': kubeflow.url, **values}))
            stack.callback(client.close)
            return client

        yield connect_to_fake


@pytest.fixture
def client(connect) -> KubeflowClient:
    return connect(experiment='pets')


@pytest.fixture
def package(tmp_path) -> Path:
    """A file with the two documents of a compiled pipeline."""
    path = tmp_path / 'greeting.yaml'
    path.write_text('pipelineInfo: {name: greeting}\n---\nplatforms: {kubernetes: {}}\n')
    return path
