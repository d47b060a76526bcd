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
def run(monkeypatch, tmp_path):
    """`run(brief, node_id=seconds)`: runs nodes without executors; gives runner, lines and log.

    A string in place of the seconds is the message of a failure; None is a cached node.
    """

    def launch(_, node_id):
        seconds = ends[node_id]
        if isinstance(seconds, str):
            raise NodeFailed(seconds)
        if node_id == 'Trainer':
            logging.getLogger('trainer').info('an epoch')
            logging.getLogger('trainer').warning('no GPU')
            with console.bar('epoch', 2) as bar:
                bar.advance(2, 'loss 0.1')
        return NodeResult(node_id, seconds or 0.0, seconds is None, {})

    ends = {}
    monkeypatch.setattr(runner, 'launch_node', launch)

    def run_nodes(*, brief=False, **nodes):
        ends.update(nodes)
        ir = pipeline_pb2.Pipeline()
        for node_id in nodes:
            ir.nodes.add().pipeline_node.node_info.id = node_id
        stream, dag_runner = io.StringIO(), ProgressDagRunner(brief=brief)
        log = tmp_path / 'log'
        with console.output_to(stream, log):
            try:
                dag_runner.run_with_ir(ir)
            except NodeFailed as error:
                stream.write(f'{error}\n')
        assert list(dag_runner.results) == [
            node_id for node_id in nodes if not isinstance(nodes[node_id], str)
        ]
        return stream.getvalue().splitlines(), log.read_text()

    return run_nodes


def test_components_have_a_title_if_they_print_and_a_time_if_they_are_long(run):
    lines, _ = run(SchemaGen=0.04, Transform=None, Trainer=61.23)

    assert lines[:4] == ['SchemaGen done', 'Transform cached', 'Trainer ...', 'an epoch']
    assert '2/2' in lines[5]
    assert lines[-1] == 'Trainer done in 61.2 s'


def test_failed_component_is_the_last_and_has_a_title(run):
    lines, _ = run(SchemaGen=0.0, Transform='no space')
    assert lines == ['SchemaGen done', 'Transform ...', 'no space']


def test_brief_output_has_a_line_for_each_phase_and_warnings(run):
    lines, log = run(
        brief=True,
        ImageExampleGen=12.0,
        StatisticsGen=3.25,
        AnomalyGate=0.1,
        Transform=None,
        Trainer=60.0,
        Predictor=None,
        ServingCheck=None,  # in between
        baseline_resolver=0.2,
        ModelGate=0.1,
        Pusher=0.2,
    )
    assert lines == [
        'data done in 15.3 s: ImageExampleGen 12.0 s, StatisticsGen 3.2 s',
        'warning: no GPU',
        'training done in 60.0 s',
        'checks cached',
        'evaluation cached',
        'decision done',
    ]
    for line in ('Trainer ...', 'an epoch', 'epoch 2/2 loss 0.1', 'Trainer done in 60.0 s'):
        assert f': {line}\n' in log


def test_brief_output_prints_no_line_for_a_phase_that_fails(run):
    lines, _ = run(brief=True, ImageExampleGen=1.0, AnomalyGate='drift')
    assert lines == ['drift']


def test_rejects_partial_runs():
    with pytest.raises(NotImplementedError, match='partial'):
        ProgressDagRunner().run_with_ir(pipeline_pb2.Pipeline(), pipeline_pb2.RunOptions())
