"""Launches one node of a compiled pipeline with TFX's launcher, and reads its result."""

import dataclasses
import functools
import re
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

from common import console
from common.errors import DataError, NodeFailed
from common.metadata_queries import OUTPUTS, artifacts_by_id, events_of_executions
from pipeline.execution.cached_outputs import CacheCheckOperator, record_files
from pipeline.execution.compilation import display_name

# A line of Beam's error text after Ctrl-C in a worker process.
_INTERRUPT = re.compile(r'(?m)^(RuntimeError: )?KeyboardInterrupt( \[while running .*)?$')


@dataclasses.dataclass(frozen=True)
class NodeResult:
    """The result of a node.

    Attributes:
        node_id: ID in the pipeline.
        seconds: wall time.
        cached: whether the outputs are those of an earlier run.
        outputs: output artifacts by key.
    """

    node_id: str
    seconds: float
    cached: bool
    outputs: dict[str, list[metadata_store_pb2.Artifact]]


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
    state, outputs = _read_execution(connection, info.execution_id if info else None)
    if state == metadata_store_pb2.Execution.FAILED:
        raise NodeFailed(f'{display_name(node_id)} failed: its inputs could not be resolved')
    cached = state == metadata_store_pb2.Execution.CACHED
    if info and executor and not cached:  # resolvers have no executor and write no files
        with metadata.Metadata(connection) as handle:
            record_files(handle.store, info.execution_id, outputs)
    return NodeResult(node_id, time.perf_counter() - start, cached, outputs)


def node_of(ir: pipeline_pb2.Pipeline, node_id: str) -> pipeline_pb2.PipelineNode:
    """Finds a node by ID.

    Raises:
        KeyError: the pipeline has no such node.
    """
    nodes = {each.pipeline_node.node_info.id: each.pipeline_node for each in ir.nodes}
    return nodes[node_id]


def read_results(ir: pipeline_pb2.Pipeline) -> dict[str, NodeResult]:
    """Reads the results of the nodes that this run has executed, in order, by node ID."""
    connection = metadata_connection(ir)
    results = {}
    for each in ir.nodes:
        node = each.pipeline_node
        with metadata.Metadata(connection) as handle:
            contexts = context_lib.prepare_contexts(handle, node.contexts)
            executions = execution_lib.get_executions_associated_with_all_contexts(handle, contexts)
        for execution in executions:
            state, outputs = _read_execution(connection, execution.id)
            cached = state == metadata_store_pb2.Execution.CACHED
            since, until = execution.create_time_since_epoch, execution.last_update_time_since_epoch
            seconds = (until - since) / 1000
            node_id = node.node_info.id
            results[node_id] = NodeResult(node_id, seconds, cached, outputs)
    return results


def metadata_connection(ir: pipeline_pb2.Pipeline) -> Any:
    """Returns the ML Metadata connection config of a compiled pipeline."""
    config = runner_utils.extract_local_deployment_config(ir).metadata_connection_config
    return getattr(config, config.WhichOneof('connection_config'))


def _read_execution(
    connection: Any, execution_id: int | None
) -> tuple[int | None, dict[str, list[metadata_store_pb2.Artifact]]]:
    """Reads state and outputs from ML Metadata; the launcher does not return cached outputs."""
    if execution_id is None:
        return None, {}
    with metadata.Metadata(connection) as handle:
        store = handle.store
        (execution,) = store.get_executions_by_id([execution_id])
        events = events_of_executions(store, [execution_id], OUTPUTS)
        artifacts = artifacts_by_id(store, {event.artifact_id for event in events})
    outputs: dict[str, list[metadata_store_pb2.Artifact]] = {}
    for event in events:
        outputs.setdefault(event.path.steps[0].key, []).append(artifacts[event.artifact_id])
    return execution.last_known_state, outputs


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
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
