"""Launches one node of a compiled pipeline with TFX's launcher, and reads its result."""

import dataclasses
import functools
import re
import shutil
import time
from collections.abc import Iterator
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher
from tfx.orchestration.portable.mlmd import context_lib, execution_lib
from tfx.proto.orchestration import pipeline_pb2
from tfx.proto.orchestration.executable_spec_pb2 import PythonClassExecutableSpec

from common import console, stack
from common.errors import DataError, NodeFailed
from common.metadata_queries import read_nodes
from pipeline.execution.cached_outputs import CacheCheckOperator, record_files_and_commit
from pipeline.execution.compilation import display_name

# Ingestion copies or re-encodes images, which does not depend on the stack; see decision record 16.
_SHARED_BY_STACKS = ('ImageExampleGen',)
# A line of Beam's error text after Ctrl-C in a worker process.
_INTERRUPT = re.compile(r'(?m)^(RuntimeError: )?KeyboardInterrupt( \[while running .*)?$')


@dataclasses.dataclass(frozen=True)
class NodeResult:
    """The result of a node."""

    node_id: str  # ID in the pipeline
    seconds: float  # wall time
    cached: bool  # whether the outputs are those of an earlier run
    outputs: dict[str, list[metadata_store_pb2.Artifact]]  # output artifacts by key
    beside: bool = False  # whether it ran in a second process, beside other nodes


def launch_node(ir: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode) -> NodeResult:
    """Launches a node of the intermediate representation and waits for it.

    Raises:
        DataError: the executor cannot use the images.
        NodeFailed: the executor raised another error, or the inputs could not be resolved.
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    deployment = runner_utils.extract_local_deployment_config(ir)
    connection = metadata_connection(ir)
    node_id = node.node_info.id
    if node_id not in _SHARED_BY_STACKS:  # a parameter is part of the cache key, and recorded
        node.parameters.parameters['stack'].field_value.string_value = stack.libraries()
    executor = runner_utils.extract_executor_spec(deployment, node_id)
    driver = runner_utils.extract_custom_driver_spec(deployment, node_id)
    start = time.perf_counter()
    try:
        with console.indented():
            info = launcher.Launcher(
                pipeline_node=node,
                mlmd_connection=metadata.Metadata(connection),
                pipeline_info=ir.pipeline_info,
                pipeline_runtime_spec=ir.runtime_spec,
                executor_spec=executor,
                custom_driver_spec=driver or PythonClassExecutableSpec(),
                custom_driver_operators={
                    PythonClassExecutableSpec: functools.partial(
                        CacheCheckOperator, executor_spec=executor
                    )
                },
            ).launch()
    except DataError:
        raise
    except Exception as error:  # executors raise errors of any type
        if _is_interrupt(error):
            raise KeyboardInterrupt from error
        raise NodeFailed(f'{display_name(node_id)} failed: {_first_line(error)}') from error
    # The launcher does not return cached outputs, so all are read from ML Metadata.
    with metadata.Metadata(connection) as handle:
        store = handle.store
        nodes = read_nodes(store, store.get_executions_by_id([info.execution_id]))
        if not nodes:
            raise NodeFailed(f'{display_name(node_id)} failed: its inputs could not be resolved')
        (launched,) = nodes
        if executor and not launched.cached:  # resolvers have no executor and write no files
            record_files_and_commit(store, launched)
    return NodeResult(node_id, time.perf_counter() - start, launched.cached, dict(launched.outputs))


def node_of(ir: pipeline_pb2.Pipeline, node_id: str) -> pipeline_pb2.PipelineNode:
    """Finds a node by ID.

    Raises:
        KeyError: the pipeline has no such node.
    """
    nodes = {each.pipeline_node.node_info.id: each.pipeline_node for each in ir.nodes}
    return nodes[node_id]


def read_results(ir: pipeline_pb2.Pipeline) -> dict[str, NodeResult]:
    """Reads the results of the nodes that this run has executed, in order, by node ID."""
    results = {}
    with metadata.Metadata(metadata_connection(ir)) as handle:
        for each in ir.nodes:
            contexts = context_lib.prepare_contexts(handle, each.pipeline_node.contexts)
            executions = execution_lib.get_executions_associated_with_all_contexts(handle, contexts)
            for node in read_nodes(handle.store, executions):
                since = node.execution.create_time_since_epoch
                seconds = (node.execution.last_update_time_since_epoch - since) / 1000
                node_id = each.pipeline_node.node_info.id
                results[node_id] = NodeResult(node_id, seconds, node.cached, dict(node.outputs))
    return results


def metadata_connection(ir: pipeline_pb2.Pipeline) -> Any:
    """Returns the ML Metadata connection config of a compiled pipeline."""
    config = runner_utils.extract_local_deployment_config(ir).metadata_connection_config
    return getattr(config, config.WhichOneof('connection_config'))


def _is_interrupt(error: Exception) -> bool:
    """Whether the error was caused by Ctrl-C.

    Beam turns every exception of a step, also KeyboardInterrupt, into a RuntimeError with the name
    of the step; from worker processes it passes on only the text.
    """
    return any(
        isinstance(each, KeyboardInterrupt)
        or (isinstance(each, RuntimeError) and _INTERRUPT.search(str(each)))
        for each in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and its causes and contexts, in the order of a traceback."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _first_line(error: Exception) -> str:
    if isinstance(error, shutil.Error):  # of a folder: a list of source, target and reason
        *_, error = error.args[0][0]
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
