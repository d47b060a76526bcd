"""Nodes, launched with TFX: their results, cache, errors and interrupts, some through Beam."""

import shutil

import apache_beam as beam
import pytest
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types import standard_artifacts

from common.errors import DataError, NodeFailed
from common.metadata_queries import custom_property
from pipeline.code_version import COMMIT
from pipeline.execution.compilation import compile_pipeline
from pipeline.execution.launch import _store, launch_node, read_results

WORK = {}  # functions that executors call, by name


@component
def Work(name: Parameter[str], model: OutputArtifact[standard_artifacts.Model]) -> None:
    WORK[name]()


@pytest.fixture
def compiled(tmp_path):
    """`compiled(run, use_cache)` compiles a pipeline with one node, which calls `WORK['work']`."""

    def build(run='1', *, use_cache=True):
        database = sqlite_metadata_connection_config(str(tmp_path / 'metadata.sqlite'))
        pipeline = Pipeline(
            'small',
            str(tmp_path / 'artifacts'),
            components=[Work(name='work')],
            enable_cache=use_cache,
            metadata_connection_config=database,
        )
        return compile_pipeline(pipeline, run)

    return build


@pytest.fixture
def launched(compiled):
    """`launched(work)` launches a node whose executor calls `work`."""

    def launch_with(work):
        WORK['work'] = work
        return launch_node(compiled(), 'Work')

    return launch_with


def in_beam(error):
    """Returns a function that raises an error in a Beam step."""

    def fail(_):
        raise error

    def work():
        with beam.Pipeline() as pipeline:
            _ = pipeline | beam.Create([1]) | 'Count' >> beam.Map(fail)

    return work


def raising(error):
    def work():
        raise error

    return work


def test_unchanged_node_is_cached_unless_the_cache_is_off(compiled):
    calls = []
    WORK['work'] = lambda: calls.append(1)

    first, again = (launch_node(compiled(run), 'Work') for run in '12')
    forced = launch_node(compiled('3', use_cache=False), 'Work')

    assert [first.cached, again.cached, forced.cached] == [False, True, False]
    assert len(calls) == 2
    assert again.outputs['model'][0].uri == first.outputs['model'][0].uri
    assert forced.outputs['model'][0].uri != first.outputs['model'][0].uri


def test_results_of_a_run_are_read_later(compiled):
    WORK['work'] = lambda: None
    results = {run: launch_node(compiled(run), 'Work') for run in '12'}

    for run, result in results.items():
        (read,) = read_results(compiled(run)).values()
        assert (read.node_id, read.cached, read.outputs) == ('Work', run == '2', result.outputs)
    assert read_results(compiled('never launched')) == {}


def test_commit_of_the_code_is_recorded(compiled, monkeypatch):
    monkeypatch.setattr('pipeline.execution.launch.git_commit', lambda: '0123')
    WORK['work'] = lambda: None
    launch_node(compiled(), 'Work')

    (execution,) = _store(compiled()).get_executions()
    assert custom_property(execution, COMMIT) == '0123'


def test_interrupt_in_beam_raises_keyboard_interrupt(launched):
    with pytest.raises(KeyboardInterrupt):
        launched(in_beam(KeyboardInterrupt()))


def test_error_in_beam_raises_node_failed(launched):
    with pytest.raises(NodeFailed, match=r'^Work failed: broken .while running .Count'):
        launched(in_beam(ValueError('broken')))


def test_errors_of_a_folder_are_one_reason(launched):
    denied = '[Errno 1] Operation not permitted: b'
    with pytest.raises(NodeFailed, match=r'^Work failed: .Errno 1. Operation not perm'):
        launched(raising(shutil.Error([('a', 'b', denied), ('c', 'd', denied)])))


@pytest.mark.parametrize(
    'text',
    [
        "KeyboardInterrupt [while running 'Count']",
        'Traceback (most recent call last):\n  File "a.py", line 1\nKeyboardInterrupt\n',
        "Traceback:\n  ...\nRuntimeError: KeyboardInterrupt [while running 'Count']",
    ],
)
def test_recognizes_interrupt_in_worker_process_by_text(text, launched):
    with pytest.raises(KeyboardInterrupt):
        launched(raising(RuntimeError(text)))


@pytest.mark.parametrize(
    'error',
    [RuntimeError('cats/KeyboardInterrupt.jpg is broken'), ValueError('KeyboardInterrupt')],
)
def test_error_that_mentions_interrupt_raises_node_failed(error, launched):
    with pytest.raises(NodeFailed, match='KeyboardInterrupt'):
        launched(raising(error))


def test_data_error_of_executor_is_raised_unchanged(launched):
    with pytest.raises(DataError, match=r'^too few cats$'):
        launched(raising(DataError('too few cats')))
