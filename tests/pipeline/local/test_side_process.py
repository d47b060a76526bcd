"""The second process of a run."""

import os
import signal

import pytest

from common.errors import NodeFailed
from pipeline.config.recipe import load_recipe
from pipeline.execution.compilation import compile_pipeline
from pipeline.graph import create_pipeline
from pipeline.local import side_process
from pipeline.local.side_process import SideProcess


@pytest.fixture(scope='module')
def ir(tmp_path_factory):
    recipe = load_recipe('demo', [('workdir', str(tmp_path_factory.mktemp('side')))])
    return compile_pipeline(create_pipeline(recipe, ('cat', 'dog'), 100), 'a run')


@pytest.fixture(scope='module')
def process():
    started = SideProcess()
    yield started
    started.kill()


def test_launches_nodes_and_returns_their_results(process, ir):
    _, result = process.submit(ir, 'ImportSchemaGen').result()
    assert (result.node_id, result.cached) == ('ImportSchemaGen', False)
    assert list(result.outputs) == ['schema']


def test_error_of_a_node_is_a_result(process, ir):
    _, error = process.submit(ir, 'StatisticsGen').result()  # without examples
    assert isinstance(error, NodeFailed)
    assert str(error) == 'StatisticsGen failed: its inputs could not be resolved'


def test_killed_process_is_an_error(ir):
    started = SideProcess()
    future = started.submit(ir, 'ImportSchemaGen')
    os.kill(started._process.pid, signal.SIGKILL)
    assert str(future.result().result) == 'ImportSchemaGen failed: its process was killed'
    started.kill()
    assert started._process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(('overlap', 'cores'), [('off', {0, 1}), ('on', {0})])
def test_there_is_none_where_it_does_not_pay(monkeypatch, overlap, cores):
    monkeypatch.setenv(side_process.OVERLAP, overlap)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: cores)
    with side_process.side_process() as process:
        assert process is None
