"""Progress output of the local runner."""

import io
import logging

import pytest
from ml_metadata.proto.metadata_store_pb2 import Execution
from tfx.proto.orchestration import pipeline_pb2

from common import console
from common.errors import NodeFailed
from common.metadata_queries import Node
from pipeline.local import runner
from pipeline.local.runner import ProgressDagRunner


@pytest.fixture
def run(monkeypatch):
    """`run(brief, node_id=seconds)`: runs nodes without executors, and gives the printed lines.

    A string in place of the seconds is the message of a failure; None is a cached node.
    """

    def launch(_, node_id):
        seconds = ends[node_id]
        if isinstance(seconds, str):
            raise NodeFailed(seconds)
        if node_id == 'Trainer':
            logging.getLogger('trainer').info('an epoch')
            logging.getLogger('trainer').warning('no GPU')
        state = Execution.CACHED if seconds is None else Execution.COMPLETE
        milliseconds = round((seconds or 0) * 1000)
        execution = Execution(last_known_state=state, last_update_time_since_epoch=milliseconds)
        return Node(execution, {}, {})

    ends = {}
    monkeypatch.setattr(runner, 'launch_node', launch)

    def run_nodes(*, brief, **nodes):
        ends.update(nodes)
        ir = pipeline_pb2.Pipeline()
        for node_id in nodes:
            ir.nodes.add().pipeline_node.node_info.id = node_id
        stream, dag_runner = io.StringIO(), ProgressDagRunner(brief=brief)
        with console.output_to(stream):
            try:
                dag_runner.run_with_ir(ir)
            except NodeFailed as error:
                stream.write(f'{error}\n')
        assert [*dag_runner.results] == [each for each in nodes if not isinstance(ends[each], str)]
        return stream.getvalue().splitlines()

    return run_nodes


def test_verbose_output_has_lines_for_each_component(run):
    assert run(brief=False, Transform=None, Trainer=61.23, Evaluator='broken') == [
        *('Transform ...', 'Transform cached'),
        *('Trainer ...', 'an epoch', 'warning: no GPU', 'Trainer done in 61.2 s'),
        *('Evaluator ...', 'broken'),
    ]


def test_brief_output_has_a_line_for_each_phase_and_warnings(run):
    assert run(
        brief=True,
        ImageExampleGen=12.0,
        StatisticsGen=3.25,
        AnomalyGate=0.1,
        Transform=None,
        Trainer=60.0,
        Predictor=None,
        ServingCheck=None,  # in between
        reference_resolver=0.2,
        ModelGate='no reason',
    ) == [
        'data done in 15.3 s: ImageExampleGen 12.0 s, StatisticsGen 3.2 s',
        'warning: no GPU',
        'training done in 60.0 s',
        'checks cached',
        'evaluation cached',
        'no reason',
    ]
