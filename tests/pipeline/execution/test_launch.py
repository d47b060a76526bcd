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
def fail(compiled):
    """`fail(error)` launches a node whose executor raises an error; `in_beam`: in a Beam step."""

    def launch(error, in_beam=False):
        def fail_with(_=None):
            raise error

        def work():
            with beam.Pipeline() as pipeline:
                _ = pipeline | beam.Create([1]) | 'Count' >> beam.Map(fail_with)

        WORK['work'] = work if in_beam else fail_with
        launch_node(compiled(), 'Work')

    return launch


def test_unchanged_node_is_cached_unless_the_cache_is_off(compiled, monkeypatch):
    monkeypatch.setattr('pipeline.execution.launch.git_commit', lambda: '0123')
    calls = []
    WORK['work'] = lambda: calls.append(1)

    first, again = (launch_node(compiled(run), 'Work') for run in '12')
    forced = launch_node(compiled('3', use_cache=False), 'Work')

    assert [first.cached, again.cached, forced.cached] == [False, True, False]
    assert len(calls) == 2
    assert again.outputs['model'][0].uri == first.outputs['model'][0].uri
    assert forced.outputs['model'][0].uri != first.outputs['model'][0].uri
    commits = [custom_property(each, COMMIT) for each in _store(compiled()).get_executions()]
    assert commits == ['0123', None, '0123']
    for run, result in (('1', first), ('2', again)):
        (read,) = read_results(compiled(run)).values()
        assert (read.node_id, read.cached, read.outputs) == ('Work', run == '2', result.outputs)
    assert read_results(compiled('never launched')) == {}


def test_error_in_beam_raises_node_failed(fail):
    with pytest.raises(NodeFailed, match=r'^Work failed: broken .while running .Count'):
        fail(ValueError('broken'), in_beam=True)


@pytest.mark.parametrize(
    ('error', 'in_beam'),
    [
        (KeyboardInterrupt(), True),
        (RuntimeError("KeyboardInterrupt [while running 'Count']"), False),  # of a worker process
        (RuntimeError('Traceback (most recent call last):\n  ...\nKeyboardInterrupt\n'), False),
    ],
)
def test_interrupt_in_beam_raises_keyboard_interrupt(fail, error, in_beam):
    with pytest.raises(KeyboardInterrupt):
        fail(error, in_beam)


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        (
            RuntimeError('KeyboardInterrupt.jpg is broken\nbecause'),
            'KeyboardInterrupt.jpg is broken',
        ),
        (ValueError('KeyboardInterrupt'), 'KeyboardInterrupt'),
        (shutil.Error([('a', 'b', '[Errno 1] denied'), ('c', 'd', '')]), '[Errno 1] denied'),
    ],
)
def test_other_error_raises_node_failed_with_its_first_line(fail, error, message):
    with pytest.raises(NodeFailed) as raised:
        fail(error)
    assert str(raised.value) == f'Work failed: {message}'


def test_data_error_of_executor_is_raised_unchanged(fail):
    with pytest.raises(DataError, match=r'^too few cats$'):
        fail(DataError('too few cats'))
