"""What launch_node makes of the errors of executors; Beam is asked for what it raises."""

from types import SimpleNamespace

import apache_beam as beam
import pytest
from tfx.orchestration.portable import launcher

from common.errors import DataError, NodeFailed
from pipeline.execution import launch
from pipeline.execution.launch import launch_node


@pytest.fixture
def launched(monkeypatch):
    """`launched(work)`: launches a node that does some work instead of its own."""
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
    node = SimpleNamespace(node_info=SimpleNamespace(id='StatisticsGen'))
    ir = SimpleNamespace(pipeline_info=None, runtime_spec=None)

    def launch_with(work):
        node_launcher = SimpleNamespace(launch=work)
        monkeypatch.setattr(launcher, 'Launcher', lambda **_: node_launcher)
        return launch_node(ir, node)

    return launch_with


def in_beam(error):
    """Work of which one step of Beam raises an error."""

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


def test_an_interrupt_stays_one_when_beam_makes_an_error_of_it(launched):
    with pytest.raises(KeyboardInterrupt):
        launched(in_beam(KeyboardInterrupt()))


def test_another_error_in_beam_is_a_failure_of_the_node(launched):
    with pytest.raises(NodeFailed, match=r'^StatisticsGen failed: torn .while running .Count'):
        launched(in_beam(ValueError('torn')))


@pytest.mark.parametrize(
    'text',
    [
        "KeyboardInterrupt [while running 'Count']",
        'Traceback (most recent call last):\n  File "a.py", line 1\nKeyboardInterrupt\n',
        "Traceback:\n  ...\nRuntimeError: KeyboardInterrupt [while running 'Count']",
    ],
)
def test_an_interrupt_in_another_process_is_known_by_its_text(text, launched):
    with pytest.raises(KeyboardInterrupt):
        launched(raising(RuntimeError(text)))


@pytest.mark.parametrize(
    'error',
    [RuntimeError('cats/KeyboardInterrupt.jpg is torn'), ValueError('KeyboardInterrupt')],
)
def test_an_error_that_only_names_an_interrupt_is_none(error, launched):
    with pytest.raises(NodeFailed, match='KeyboardInterrupt'):
        launched(raising(error))


def test_images_that_an_executor_cannot_use_are_an_error_of_the_data(launched):
    with pytest.raises(DataError, match=r'^too few cats$'):
        launched(raising(DataError('too few cats')))
