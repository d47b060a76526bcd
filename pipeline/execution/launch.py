"""Runs one node of a compiled pipeline with TFX's LocalDagRunner, and reads its result."""

import dataclasses
import re
import shutil
import time
import traceback

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.local import runner_utils
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.proto.orchestration import pipeline_pb2

from common.errors import DataError, NodeFailed
from common.metadata_queries import Node, read_nodes, set_custom_properties
from pipeline.code_version import COMMIT, git_commit
from pipeline.execution.compilation import display_name

_CONTEXTS = ('pipeline_run', 'node')  # of TFX; an execution of a node in a run is in both
# In a traceback after Ctrl-C. Beam turns every exception of a step, also KeyboardInterrupt, into a
# RuntimeError with the name of the step; from worker processes it passes on only the text.
_INTERRUPT = re.compile(r'(?m)^(RuntimeError: )?KeyboardInterrupt( \[while running .*)?$')


@dataclasses.dataclass(frozen=True)
class NodeResult:
    """The result of a node."""

    node_id: str  # ID in the pipeline
    seconds: float  # wall time
    cached: bool  # whether the outputs are those of an earlier run
    outputs: dict[str, list[metadata_store_pb2.Artifact]]  # output artifacts by key


def launch_node(ir: pipeline_pb2.Pipeline, node_id: str) -> NodeResult:
    """Runs a node of the intermediate representation, and records the git commit of its code.

    Raises:
        DataError: the executor cannot use the images.
        NodeFailed: the executor raised another error, or the inputs could not be resolved.
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    alone = pipeline_pb2.Pipeline()
    alone.CopyFrom(ir)
    del alone.nodes[:]
    alone.nodes.extend(each for each in ir.nodes if each.pipeline_node.node_info.id == node_id)
    start = time.perf_counter()
    try:
        LocalDagRunner().run_with_ir(alone)
    except DataError:
        raise
    except Exception as error:  # executors raise errors of any type
        if _INTERRUPT.search(''.join(traceback.format_exception(error))):
            raise KeyboardInterrupt from error
        raise NodeFailed(f'{display_name(node_id)} failed: {_first_line(error)}') from error
    store = _store(ir)
    launched = _read_node(store, alone.nodes[0].pipeline_node)
    if launched is None:
        raise NodeFailed(f'{display_name(node_id)} failed: its inputs could not be resolved')
    if not launched.cached:
        set_custom_properties(launched.execution, {COMMIT: git_commit()})
        store.put_executions([launched.execution])
    return NodeResult(node_id, time.perf_counter() - start, launched.cached, dict(launched.outputs))


def read_results(ir: pipeline_pb2.Pipeline) -> dict[str, NodeResult]:
    """Reads the results of the nodes that this run has executed, in order, by node ID."""
    results = {}
    store = _store(ir)
    for each in ir.nodes:
        if node := _read_node(store, each.pipeline_node):
            since = node.execution.create_time_since_epoch
            seconds = (node.execution.last_update_time_since_epoch - since) / 1000
            node_id = each.pipeline_node.node_info.id
            results[node_id] = NodeResult(node_id, seconds, node.cached, dict(node.outputs))
    return results


def _store(ir: pipeline_pb2.Pipeline) -> MetadataStore:
    config = runner_utils.extract_local_deployment_config(ir).metadata_connection_config
    return MetadataStore(getattr(config, config.WhichOneof('connection_config')))


def _read_node(store: MetadataStore, node: pipeline_pb2.PipelineNode) -> Node | None:
    """Reads the execution of a node in its run; None if it has not succeeded."""
    names = {each.type.name: each.name.field_value.string_value for each in node.contexts.contexts}
    contexts = [store.get_context_by_type_and_name(kind, names[kind]) for kind in _CONTEXTS]
    if None in contexts:
        return None
    in_run, of_node = (store.get_executions_by_context(each.id) for each in contexts)
    own = {each.id for each in of_node}
    nodes = read_nodes(store, [each for each in in_run if each.id in own])
    return nodes[0] if nodes else None


def _first_line(error: Exception) -> str:
    if isinstance(error, shutil.Error):  # of a folder: a list of source, target and reason
        *_, error = error.args[0][0]
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
