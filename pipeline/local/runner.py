"""Runs a compiled pipeline on this machine, and prints and records the progress of its nodes."""

import datetime
import logging
from collections import Counter, defaultdict
from collections.abc import Mapping

from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.proto.orchestration import pipeline_pb2

from common import console
from common.metadata_queries import Node
from pipeline.execution.launch import display_name, launch_node, set_run_id

_PHASES = {
    'data': 'ImageExampleGen newest_spans StatisticsGen ImportSchemaGen ExampleValidator '
    'previous_statistics AnomalyGate',
    'training': 'warm_start_resolver Transform Tuner Trainer',
    'evaluation': 'reference_resolver Predictor reference_predictor Evaluator RobustnessEvaluator',
    'checks': 'ServingCheck',
    'decision': 'ModelGate Converter Pusher',
    'inference': 'FolderPredictor',
}
PHASE_OF = {node_id: phase for phase, nodes in _PHASES.items() for node_id in nodes.split()}
_SHORT_SECONDS = 1.0  # a component that takes less is not printed with its phase

_log = logging.getLogger(__name__)


class ProgressDagRunner(LocalDagRunner):
    """TFX's LocalDagRunner that prints progress and records results.

    Args:
        run_id: of its only run, in ML Metadata; default: the time.
        brief: print a line for each phase of a run instead of each component and what it logs.
    """

    def __init__(self, run_id: str | None = None, *, brief: bool = False) -> None:
        super().__init__()
        self.run_id = run_id or datetime.datetime.now().isoformat()
        self.results: dict[str, Node] = {}  # by node ID, in topological order
        self._brief = brief

    def run_with_ir(
        self, pipeline: pipeline_pb2.Pipeline, run_options: pipeline_pb2.RunOptions | None = None
    ) -> None:
        """Launches the nodes one after another, in topological order.

        Raises:
            NodeFailed: a component failed; later ones do not run.
            NotImplementedError: a partial run is requested.
        """
        if run_options is not None:
            raise NotImplementedError('partial runs')
        set_run_id(pipeline, self.run_id)
        node_ids = [each.pipeline_node.node_info.id for each in pipeline.nodes]
        sizes = Counter(PHASE_OF.get(node_id, display_name(node_id)) for node_id in node_ids)
        phases: dict[str, dict[str, Node]] = defaultdict(dict)
        for node_id in node_ids:
            name = display_name(node_id)
            phase = PHASE_OF.get(node_id, name)
            with console.phase(phase, name, brief=self._brief):
                phases[phase][name] = self.results[node_id] = launch_node(pipeline, node_id)
                _log_end(name, {name: self.results[node_id]})
            if self._brief and len(phases[phase]) == sizes[phase]:
                _log_end(phase, phases[phase])


def _log_end(name: str, nodes: Mapping[str, Node]) -> None:
    """Logs the end of a component or phase, with the times of the components that take long."""
    cached = any(node.cached for node in nodes.values())
    long = {
        each: node.seconds
        for each, node in nodes.items()
        if not node.cached and node.seconds >= _SHORT_SECONDS
    }
    text = f'{name} {"cached" if cached and not long else "done"}'
    if long:
        text += f' in {sum(node.seconds for node in nodes.values()):,.1f} s'
    if len(long) > 1:
        text += ': ' + ', '.join(f'{each} {seconds:,.1f} s' for each, seconds in long.items())
    _log.info('%s', text)
