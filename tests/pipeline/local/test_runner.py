"""Progress output of the local runner."""

import concurrent.futures
import io
import logging
import signal
import threading
import time

import pytest
from tfx.proto.orchestration import pipeline_pb2

from common import console
from common.errors import NodeFailed
from pipeline.execution.launch import NodeResult
from pipeline.local import runner
from pipeline.local.runner import ProgressDagRunner
from pipeline.local.side_process import Answer


@pytest.fixture
def run(monkeypatch):
    """`run(node_id=seconds)`: runs nodes without executors; gives the runner and its output.

    A string in place of the seconds is the message of a failure; None is a cached node.
    """

    def launch(_, node):
        node_id = node.node_info.id
        seconds = ends[node_id]
        if isinstance(seconds, str):
            raise NodeFailed(seconds)
        if node_id == 'Trainer':
            logging.getLogger('trainer').info('an epoch')
        return NodeResult(node_id, seconds or 0.0, seconds is None, {})

    ends = {}
    monkeypatch.setattr(runner, 'launch_node', launch)

    def run_nodes(**nodes):
        ends.update(nodes)
        ir = pipeline_pb2.Pipeline()
        for node_id in nodes:
            ir.nodes.add().pipeline_node.node_info.id = node_id
        stream, dag_runner = io.StringIO(), ProgressDagRunner()
        with console.output_to(stream):
            try:
                dag_runner.run_with_ir(ir)
            except NodeFailed as error:
                stream.write(f'{error}\n')
        return dag_runner, stream.getvalue().splitlines()

    return run_nodes


class Side:
    """In place of the second process: answers when `answer(result)` is called."""

    def __init__(self):
        self.started = []
        self._future = None

    def submit(self, _, node_id):
        self.started.append(node_id)
        self._future = concurrent.futures.Future()
        return self._future

    def answer(self, result=None, *messages):
        """Ends the node of the last call, with an error if `result` is one."""
        records = [
            logging.LogRecord('components', logging.INFO, '', 0, message, (), None)
            for message in messages
        ]
        future, node_id = self._future, self.started[-1]
        future.set_result(Answer(records, result or NodeResult(node_id, 2.0, False, {})))


@pytest.fixture
def run_beside(monkeypatch):
    """`run_beside(nodes, main)`: runs nodes, given their upstream ones, with a `Side`.

    `main[node_id](side)` is what a node does in this process. Gives side, runner, lines and error.
    """

    def run_nodes(nodes, main):
        ir = pipeline_pb2.Pipeline()
        for node_id, upstream in nodes.items():
            node = ir.nodes.add().pipeline_node
            node.node_info.id = node_id
            node.upstream_nodes.extend(upstream)
        side, stream, error = Side(), io.StringIO(), None
        dag_runner = ProgressDagRunner(side)

        def launch(_, node):
            node_id = node.node_info.id
            main.get(node_id, lambda _: None)(side)
            return NodeResult(node_id, 1.0, False, {})

        monkeypatch.setattr(runner, 'launch_node', launch)
        with console.output_to(stream):
            try:
                dag_runner.run_with_ir(ir)
            except (NodeFailed, KeyboardInterrupt) as raised:
                error = raised
        return side, dag_runner, stream.getvalue().splitlines(), error

    return run_nodes


CHECKS = {
    'ImageExampleGen': [],
    'StatisticsGen': ['ImageExampleGen'],
    'ImportSchemaGen': [],
    'AnomalyGate': ['StatisticsGen', 'ImportSchemaGen'],
    'Trainer': ['ImageExampleGen'],
    'Predictor': ['Trainer', 'AnomalyGate'],
}


def test_checks_of_the_data_run_beside_training(run_beside):
    def train(side):
        assert side.started == ['StatisticsGen']
        side.answer(None, 'three splits')
        assert side.started == ['StatisticsGen', 'AnomalyGate']
        side.answer()

    _, dag_runner, lines, error = run_beside(CHECKS, {'Trainer': train})

    assert error is None
    assert list(dag_runner.results) == list(CHECKS)
    assert lines == [
        'ImageExampleGen done in 1.0 s',
        'ImportSchemaGen done in 1.0 s',
        'Trainer done in 1.0 s',
        'StatisticsGen ...',
        '  three splits',
        'StatisticsGen done in 2.0 s',
        'AnomalyGate done in 2.0 s',
        'Predictor done in 1.0 s',
    ]


@pytest.mark.parametrize('handler', [signal.default_int_handler, signal.SIG_IGN])
def test_failed_check_interrupts_training(run_beside, handler, request):
    previous = signal.signal(signal.SIGINT, handler)  # ignored by background jobs of a shell
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, previous))

    def train(side):
        side.answer()
        threading.Timer(0.1, side.answer, [NodeFailed('drift')]).start()
        for _ in range(200):
            time.sleep(0.1)
        raise AssertionError('not interrupted')

    _, dag_runner, lines, error = run_beside(CHECKS, {'Trainer': train})

    assert isinstance(error, NodeFailed)
    assert str(error) == 'drift'
    assert lines[-1] == 'AnomalyGate ...'
    assert 'Trainer' not in dag_runner.results


def test_failure_while_the_other_process_is_waited_for(run_beside, request):
    nodes = {
        'Trainer': [],
        'ServingCheck': ['Trainer'],
        'Evaluator': ['Trainer'],
        'ModelGate': ['ServingCheck', 'Evaluator'],
    }

    class FailAfterwards(logging.Handler):
        def emit(self, record):
            if record.getMessage().startswith('Evaluator done'):  # the runner waits next
                threading.Timer(0.1, self.side.answer, [NodeFailed('broken')]).start()

    handler, logger = FailAfterwards(), logging.getLogger(runner.__name__)
    logger.addHandler(handler)
    request.addfinalizer(lambda: logger.removeHandler(handler))

    def evaluate(side):
        handler.side = side

    _, dag_runner, lines, error = run_beside(nodes, {'Evaluator': evaluate})

    assert str(error) == 'broken'
    assert lines[-1] == 'ServingCheck ...'
    assert list(dag_runner.results) == ['Trainer', 'Evaluator']


def test_ctrl_c_is_an_interrupt(run_beside):
    def train(_):
        raise KeyboardInterrupt

    *_, error = run_beside(CHECKS, {'Trainer': train})

    assert isinstance(error, KeyboardInterrupt)


def test_short_and_cached_components_print_one_line(run):
    _, lines = run(SchemaGen=0.04, baseline_resolver=0.1, Transform=None)

    assert lines == ['SchemaGen done', 'BaselineResolver done in 0.1 s', 'Transform cached']


def test_component_with_output_has_a_title(run):
    _, lines = run(Trainer=61.23)

    assert lines == ['Trainer ...', 'an epoch', 'Trainer done in 61.2 s']


def test_failed_component_is_the_last_and_has_a_title(run):
    dag_runner, lines = run(SchemaGen=0.0, Transform='no space', Pusher=0.0)

    assert lines == ['SchemaGen done', 'Transform ...', 'no space']
    assert list(dag_runner.results) == ['SchemaGen']


def test_rejects_partial_runs():
    with pytest.raises(NotImplementedError, match='partial'):
        ProgressDagRunner().run_with_ir(pipeline_pb2.Pipeline(), pipeline_pb2.RunOptions())
