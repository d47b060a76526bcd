"""Runs a compiled pipeline on this machine and prints the progress of its components."""

import datetime
import logging

from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.proto.orchestration import pipeline_pb2

from common import console
from pipeline.execution.compilation import display_name, set_run_id
from pipeline.execution.launch import NodeResult, launch_node
from pipeline.execution.outcome import SHORT_SECONDS

_log = logging.getLogger(__name__)


class ProgressDagRunner(LocalDagRunner):
    """TFX's LocalDagRunner with progress output.

    A component without output that takes less than a second prints one line, when it ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run_id = ''  # of the last run, in ML Metadata
        self.results: dict[str, NodeResult] = {}  # by node id, in execution order

    def run_with_ir(
        self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None
    ) -> None:
        """Launches the nodes one after the other, in their topological order.

        Raises:
            NodeFailed: a component failed; later components do not run.
            NotImplementedError: a partial run is requested.
        """
        if run_options is not None:
            raise NotImplementedError('partial runs')
        self.run_id = datetime.datetime.now().isoformat()
        set_run_id(pipeline, self.run_id)
        for node in pipeline.nodes:
            name = display_name(node.pipeline_node.node_info.id)
            with console.titled(name):
                result = launch_node(pipeline, node.pipeline_node)
            self.results[result.node_id] = result
            ending = 'cached' if result.cached else 'done'
            timed = not result.cached and result.seconds >= SHORT_SECONDS
            duration = f' in {result.seconds:.1f} s' if timed else ''
            _log.info('%s %s%s', name, ending, duration, extra=console.styled(ending, 'green'))
