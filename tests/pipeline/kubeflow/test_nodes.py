"""The nodes that a Kubeflow task runs, and when it writes the outputs of the run; launches none."""

from types import SimpleNamespace

import pytest
from tfx.proto.orchestration import pipeline_pb2

from common.errors import NodeFailed
from pipeline.kubeflow import nodes
from pipeline.kubeflow.nodes import run_nodes

NODES = ('ImageExampleGen', 'newest_spans', 'Trainer', 'ModelGate', 'Pusher', 'FolderPredictor')
INPUTS = {'classes': '["a", "b"]', 'images': '6', 'run_id': 'run-1'}


@pytest.fixture
def run(monkeypatch, tmp_path):
    """`run(task, fail)` runs a task, whose node `fail` fails; returns what happened, in order."""
    ir = pipeline_pb2.Pipeline()
    for node_id in NODES:
        ir.nodes.add().pipeline_node.node_info.id = node_id
    done = []
    monkeypatch.setattr(nodes, 'create_pipeline', lambda *_: None)
    monkeypatch.setattr(nodes, 'compile_pipeline', lambda *_: ir)
    monkeypatch.setattr(nodes, 'record_node', lambda *_: None)
    monkeypatch.setattr(nodes, 'write_outputs', lambda *_: done.append('outputs'))

    def call(task, fail):
        def launch(_, node_id):
            if node_id == fail:
                raise NodeFailed(node_id)
            done.append(node_id)
            return SimpleNamespace(cached=False, seconds=1.0)

        monkeypatch.setattr(nodes, 'launch_node', launch)
        report = tmp_path / 'report' if task == 'push' else None
        try:
            run_nodes(task, None, INPUTS, 0, report, tmp_path / 'output.json')
        except NodeFailed:
            done.append('failed')
        return done

    return call


@pytest.mark.parametrize(
    ('task', 'fail', 'expected'),
    [
        ('ingest', None, ['ImageExampleGen', 'newest_spans']),
        ('push', None, ['ModelGate', 'Pusher', 'outputs', 'FolderPredictor', 'outputs']),
        ('push', 'FolderPredictor', ['ModelGate', 'Pusher', 'outputs', 'failed']),
        ('push', 'Pusher', ['ModelGate', 'failed']),
    ],
)
def test_outputs_are_written_after_the_push_and_each_later_node(run, task, fail, expected):
    assert run(task, fail) == expected
