"""A fake Kubeflow server, and a client connected to it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_server import FakeKubeflow

from pipeline.config.kubeflow import ConnectionConfig
from pipeline.kubeflow.client import KubeflowClient


@pytest.fixture
def kubeflow() -> Iterator[FakeKubeflow]:
    with FakeKubeflow() as server:
        yield server
        server.shutdown()


@pytest.fixture
def connect(kubeflow) -> Callable[..., KubeflowClient]:
    """`connect(**config)` connects a client to the fake."""
    return lambda **config: KubeflowClient(ConnectionConfig(host=kubeflow.url, **config))


@pytest.fixture
def client(connect) -> KubeflowClient:
    return connect(experiment='pets')


@pytest.fixture
def package(tmp_path) -> Path:
    """A file with the two documents of a compiled pipeline."""
    path = tmp_path / 'greeting.yaml'
    path.write_text('pipelineInfo: {name: greeting}\n---\nplatforms: {kubernetes: {}}\n')
    return path
