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
from pipeline.execution.launch import compile_pipeline, launch_node, read_results

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


def test_unchanged_node_is_cached_unless_the_cache_is_off(compiled):
    calls = []
    WORK['work'] = lambda: calls.append(1)

    first, again = (launch_node(compiled(run), 'Work') for run in '12')
    forced = launch_node(compiled('3', use_cache=False), 'Work')

    assert [first.cached, again.cached, forced.cached] == [False, True, False]
    assert len(calls) == 2
    assert again.outputs['model'][0].uri == first.outputs['model'][0].uri
    assert forced.outputs['model'][0].uri != first.outputs['model'][0].uri
    assert read_results(compiled('2')) == {'Work': again}
    assert read_results(compiled('never launched')) == {}


@pytest.mark.parametrize(
    ('error', 'in_beam', 'raised', 'message'),
    [
        (KeyboardInterrupt(), True, KeyboardInterrupt, ''),
        (RuntimeError("KeyboardInterrupt [while running 'Count']"), False, KeyboardInterrupt, ''),
        (RuntimeError('Traceback:\n  ...\nKeyboardInterrupt\n'), False, KeyboardInterrupt, ''),
        (ValueError('broken'), True, NodeFailed, "Work failed: broken [while running 'Count"),
        (RuntimeError('KeyboardInterrupt.jpg is broken\nbecause'), False, NodeFailed, 'broken'),
        (ValueError('KeyboardInterrupt'), False, NodeFailed, 'Work failed: KeyboardInterrupt'),
        (shutil.Error([('a', 'b', '[Errno 1] denied'), ('c', 'd', '')]), False, NodeFailed, '1] d'),
        (DataError('too few cats'), False, DataError, 'too few cats'),
    ],
)
def test_error_is_an_interrupt_of_the_user_a_data_error_or_node_failed(
    fail, error, in_beam, raised, message
):
    with pytest.raises(raised) as found:
        fail(error, in_beam)
    assert message in str(found.value)
    assert '\n' not in str(found.value) or raised is KeyboardInterrupt
