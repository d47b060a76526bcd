"""Runs a pipeline on this machine, showing each component as it starts and ends."""

import datetime

from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.proto.orchestration import pipeline_pb2

from common import progress
from pipeline.execution.compilation import display_name, name_run
from pipeline.execution.launch import NodeResult, launch_node


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
        name_run(pipeline, self.run_id)
        for node in pipeline.nodes:
            name = display_name(node.pipeline_node.node_info.id)
            progress.console().print(f'[bold]{name}[/bold] ...')
            result = launch_node(pipeline, node.pipeline_node)
            self.results[result.node_id] = result
            how = 'cached' if result.cached else 'done'
            progress.console().print(f'{name} [green]{how}[/green] in {result.seconds:.1f} s')
