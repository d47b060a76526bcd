"""Progress output of the local runner."""

import io
import logging

import pytest
from tfx.proto.orchestration import pipeline_pb2

from common import console
from common.errors import NodeFailed
from pipeline.execution.launch import NodeResult
from pipeline.local import runner
from pipeline.local.runner import ProgressDagRunner


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
