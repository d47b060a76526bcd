"""Runs a pipeline on this machine, showing each component as it starts and ends."""

import datetime
import logging

from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.proto.orchestration import pipeline_pb2

from common.console import styled
from pipeline.execution.compilation import display_name, set_run_id
from pipeline.execution.launch import NodeResult, launch_node

_log = logging.getLogger(__name__)


class ProgressDagRunner(LocalDagRunner):
    """TFX's LocalDagRunner, with a line per component.

    Attributes:
        run_id: of the last run, as in the metadata.
        results: of the components that have ended, by node id, in their order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.run_id = ''
        self.results: dict[str, NodeResult] = {}

    def run_with_ir(
        self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None
    ) -> None:
        """Launches the nodes one after the other; they are in topological order.

        Raises:
            NodeFailed: at the first component that fails.
            NotImplementedError: for partial runs.
        """
        if run_options is not None:
            raise NotImplementedError('partial runs')
        self.run_id = datetime.datetime.now().isoformat()
        set_run_id(pipeline, self.run_id)
        for node in pipeline.nodes:
            name = display_name(node.pipeline_node.node_info.id)
            _log.info('%s ...', name, extra=styled(name, 'bold'))
            result = launch_node(pipeline, node.pipeline_node)
            self.results[result.node_id] = result
            how = 'cached' if result.cached else 'done'
            _log.info('%s %s in %.1f s', name, how, result.seconds, extra=styled(how, 'green'))
