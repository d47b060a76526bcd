"""The second process of a run."""

import os
import signal
import subprocess
import sys

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
    error = str(future.result().result)
    assert error == 'ImportSchemaGen failed: its process ended, perhaps out of memory'
    started.kill()
    assert started._process.exitcode == -signal.SIGKILL


def test_unreadable_result_is_an_error(process, ir, monkeypatch):
    monkeypatch.setattr(process, '_connection', UnreadableAnswers())
    _, error = process.submit(ir, 'ImportSchemaGen').result()
    assert str(error) == 'ImportSchemaGen failed: its result is unreadable: no such class'


class UnreadableAnswers:
    def send(self, _):
        pass

    def recv(self):
        raise AttributeError('no such class')


@pytest.mark.slow
def test_process_ends_within_a_node_when_the_main_process_is_killed():
    script = """
import multiprocessing, time
from pipeline.local import side_process

def serve():
    side_process._end_with_parent()
    time.sleep(600)

process = multiprocessing.get_context('fork').Process(target=serve)
process.start()
print('started', flush=True)
process.join()
"""
    command = [sys.executable, '-c', script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as main:
        assert main.stdout.readline() == b'started\n'
        main.kill()
        main.communicate(timeout=60)  # returns when both processes have ended


@pytest.mark.parametrize(('overlap', 'cores'), [('off', {0, 1}), ('on', {0})])
def test_there_is_none_where_it_does_not_pay(monkeypatch, overlap, cores):
    monkeypatch.setenv(side_process.OVERLAP, overlap)
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: cores)
    with side_process.side_process() as process:
        assert process is None
