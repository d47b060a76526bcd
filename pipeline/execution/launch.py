"""Compiles a pipeline, runs single nodes with TFX's LocalDagRunner, and reads their results."""

import re
import shutil
import traceback

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import compiler, constants
from tfx.orchestration.local import runner_utils
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from common.errors import DataError, NodeFailed
from common.metadata_queries import Node, read_nodes
from common.mirror import is_remote
from pipeline.execution.stored import launch_stored

_CONTEXTS = ('pipeline_run', 'node')  # of TFX; an execution of a node in a run is in both
# In a traceback after Ctrl-C. Beam turns every exception of a step, also KeyboardInterrupt, into a
# RuntimeError with the name of the step; from worker processes it passes on only the text.
_INTERRUPT = re.compile(r'(?m)^(RuntimeError: )?KeyboardInterrupt( \[while running .*)?$')


def compile_pipeline(pipeline: Pipeline, run_id: str) -> pipeline_pb2.Pipeline:
    """Compiles one run of a pipeline to the intermediate representation."""
    ir = compiler.Compiler().compile(pipeline)
    set_run_id(ir, run_id)
    return ir


def set_run_id(ir: pipeline_pb2.Pipeline, run_id: str) -> None:
    """Replaces the placeholder for the run ID."""
    runtime_parameter_utils.substitute_runtime_parameter(
        ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id}
    )


def display_name(node_id: str) -> str:
    """Formats a node ID for display, such as `reference_resolver` as ReferenceResolver."""
    return ''.join(word.capitalize() for word in node_id.split('_')) if '_' in node_id else node_id


def launch_node(ir: pipeline_pb2.Pipeline, node_id: str) -> Node:
    """Runs a node of the intermediate representation, and returns its execution.

    Raises:
        DataError: the executor cannot use the images.
        NodeFailed: the executor raised another error, or the inputs could not be resolved.
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    alone = pipeline_pb2.Pipeline()
    alone.CopyFrom(ir)
    del alone.nodes[:]
    alone.nodes.extend(each for each in ir.nodes if each.pipeline_node.node_info.id == node_id)
    root = ir.runtime_spec.pipeline_root.field_value.string_value
    try:
        if is_remote(root):
            launch_stored(alone, alone.nodes[0].pipeline_node)
        else:
            LocalDagRunner().run_with_ir(alone)
    except DataError:
        raise
    except Exception as error:  # executors raise errors of any type
        if _INTERRUPT.search(''.join(traceback.format_exception(error))):
            raise KeyboardInterrupt from error
        raise NodeFailed(f'{display_name(node_id)} failed: {_first_line(error)}') from error
    if result := read_results(alone).get(node_id):
        return result
    raise NodeFailed(f'{display_name(node_id)} failed: its inputs could not be resolved')


def read_results(ir: pipeline_pb2.Pipeline) -> dict[str, Node]:
    """Reads the executions of the nodes that this run has executed, in order, by node ID."""
    config = runner_utils.extract_local_deployment_config(ir).metadata_connection_config
    store = MetadataStore(getattr(config, config.WhichOneof('connection_config')))
    results = {}
    for each in ir.nodes:
        in_run, of_node = (
            {execution.id: execution for execution in _executions(store, each.pipeline_node, kind)}
            for kind in _CONTEXTS
        )
        for node in read_nodes(store, [in_run[number] for number in in_run.keys() & of_node]):
            results[each.pipeline_node.node_info.id] = node
    return results


def _executions(
    store: MetadataStore, node: pipeline_pb2.PipelineNode, kind: str
) -> list[metadata_store_pb2.Execution]:
    """The executions in the context of a node of this kind; none before the first."""
    names = {each.type.name: each.name.field_value.string_value for each in node.contexts.contexts}
    context = store.get_context_by_type_and_name(kind, names[kind])
    return store.get_executions_by_context(context.id) if context else []


def _first_line(error: Exception) -> str:
    if isinstance(error, shutil.Error):  # of a folder: a list of source, target and reason
        *_, error = error.args[0][0]
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
