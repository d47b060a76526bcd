"""A fake Kubeflow server, and a client connected to it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from fake_server import URL, FakeKubeflow

from pipeline.config.kubeflow import ConnectionConfig
from pipeline.kubeflow.client import KubeflowClient


@pytest.fixture
def kubeflow(monkeypatch) -> FakeKubeflow:
    fake = FakeKubeflow()
    monkeypatch.setattr(requests.Session, 'get_adapter', lambda session, url: fake)
    return fake


@pytest.fixture
def connect(kubeflow) -> Callable[..., KubeflowClient]:
    """`connect(**config)` connects a client to the fake."""
    return lambda **config: KubeflowClient(ConnectionConfig(host=URL, **config))


@pytest.fixture
def client(connect) -> KubeflowClient:
    return connect(experiment='pets')


@pytest.fixture
def package(tmp_path) -> Path:
    """A file with the two documents of a compiled pipeline."""
    path = tmp_path / 'greeting.yaml'
    path.write_text('pipelineInfo: {name: greeting}\n---\nplatforms: {kubernetes: {}}\n')
    return path
