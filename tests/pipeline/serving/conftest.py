"""Servers of a small model."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running_server import Server, running

from pipeline.serving import app


@pytest.fixture(scope='session')
def models(tmp_path_factory, make_saved_model) -> list[Path]:
    """Two models with different probabilities."""
    folder = tmp_path_factory.mktemp('models')
    return [make_saved_model(folder / str(slope), slope=slope) for slope in (0.1, 0.05)]


@pytest.fixture
def make_server(models, tmp_path, monkeypatch) -> Iterator[Callable[[], Server]]:
    """`make_server()` serves the first model as version 1, in a folder of the test."""
    monkeypatch.setattr(app, '_POLL_SECONDS', 0.05)
    monkeypatch.setattr(app, '_RETRY_SECONDS', 0.1)
    with contextlib.ExitStack() as servers:

        def make() -> Server:
            shutil.copytree(models[0], tmp_path / 'serving' / '1')
            return servers.enter_context(running(tmp_path / 'serving'))

        yield make


@pytest.fixture(scope='session')
def server(models, tmp_path_factory) -> Iterator[Server]:
    """A server of the first model, shared by tests that do not change it."""
    serving = tmp_path_factory.mktemp('serving')
    shutil.copytree(models[0], serving / '1')
    with running(serving) as started:
        yield started


@pytest.fixture(scope='session')
def pets(tmp_path_factory, make_image_folder) -> dict[str, bytes]:
    """The contents of an image by class."""
    folder = make_image_folder(tmp_path_factory.mktemp('pets'), per_class=1)
    return {file.parent.name: file.read_bytes() for file in sorted(folder.rglob('*.jpg'))}
