"""Errors of executors, some raised through Beam, as launch_node reports them."""

import shutil
from types import SimpleNamespace

import apache_beam as beam
import pytest
from tfx.orchestration.portable import launcher
from tfx.proto.orchestration.pipeline_pb2 import PipelineNode

from common.errors import DataError, NodeFailed
from pipeline.execution import launch
from pipeline.execution.launch import launch_node


@pytest.fixture
def launched(monkeypatch):
    """`launched(work)` launches a node whose executor calls `work`."""
    parts = {
        name: lambda *_: None
        for name in (
            'extract_local_deployment_config',
            'extract_executor_spec',
            'extract_custom_driver_spec',
        )
    }
    monkeypatch.setattr(launch, 'runner_utils', SimpleNamespace(**parts))
    monkeypatch.setattr(launch, 'metadata_connection', lambda _: None)
    monkeypatch.setattr(launch.metadata, 'Metadata', lambda _: None)
    node = PipelineNode()
    node.node_info.id = 'StatisticsGen'
    ir = SimpleNamespace(pipeline_info=None, runtime_spec=None)

    def launch_with(work):
        node_launcher = SimpleNamespace(launch=work)
        monkeypatch.setattr(launcher, 'Launcher', lambda **_: node_launcher)
        return launch_node(ir, node)

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


def test_interrupt_in_beam_raises_keyboard_interrupt(launched):
    with pytest.raises(KeyboardInterrupt):
        launched(in_beam(KeyboardInterrupt()))


def test_error_in_beam_raises_node_failed(launched):
    with pytest.raises(NodeFailed, match=r'^StatisticsGen failed: broken .while running .Count'):
        launched(in_beam(ValueError('broken')))


def test_errors_of_a_folder_are_one_reason(launched):
    denied = '[Errno 1] Operation not permitted: b'
    with pytest.raises(NodeFailed, match=r'^StatisticsGen failed: .Errno 1. Operation not perm'):
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
