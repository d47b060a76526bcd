"""Runs one node of a compiled pipeline with TFX's own launcher, and says how it went."""

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
from pipeline.execution import cached_outputs
from pipeline.execution.cached_outputs import CacheCheckOperator
from pipeline.execution.compilation import display_name

# A line of a text that Beam made of an interrupt; a line that only names one is something else.
_INTERRUPTED = re.compile(r'(?m)^(RuntimeError: )?KeyboardInterrupt( \[while running .*)?$')


@dataclasses.dataclass(frozen=True)
class NodeResult:
    """How a node ended.

    Attributes:
        node_id: as in the pipeline.
        seconds: wall time.
        cached: whether its outputs were there from an earlier run.
        outputs: output artifacts by their keys.
    """

    node_id: str
    seconds: float
    cached: bool
    outputs: dict[str, list[metadata_store_pb2.Artifact]]


def launch_node(ir: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode) -> NodeResult:
    """Runs a node of the intermediate representation to its end.

    Raises:
        DataError: its executor cannot use the images.
        NodeFailed: its executor raised another error, or its inputs could not be found.
        KeyboardInterrupt: a person pressed Ctrl-C.
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
    except Exception as error:  # executors raise whatever they like
        if _is_interrupt(error):
            raise KeyboardInterrupt from error
        raise NodeFailed(f'{display_name(node_id)} failed: {_first_line(error)}') from error
    state, outputs = _read_back(connection, info.execution_id if info else None)
    if state == metadata_store_pb2.Execution.FAILED:
        raise NodeFailed(f'{display_name(node_id)} failed: its inputs could not be resolved')
    cached = state == metadata_store_pb2.Execution.CACHED
    if info and executor and not cached:  # a resolver writes nothing
        _note_files(connection, info.execution_id, outputs)
    return NodeResult(node_id, time.perf_counter() - start, cached, outputs)


def node_of(ir: pipeline_pb2.Pipeline, node_id: str) -> pipeline_pb2.PipelineNode:
    """The node with an id.

    Raises:
        KeyError: there is none.
    """
    nodes = {each.pipeline_node.node_info.id: each.pipeline_node for each in ir.nodes}
    return nodes[node_id]


def read_results(ir: pipeline_pb2.Pipeline) -> dict[str, NodeResult]:
    """How the nodes of this run have ended, as far as they have, by node id in their order."""
    connection = metadata_connection(ir)
    results = {}
    for each in ir.nodes:
        node = each.pipeline_node
        with metadata.Metadata(connection) as handle:
            contexts = context_lib.prepare_contexts(handle, node.contexts)
            executions = execution_lib.get_executions_associated_with_all_contexts(handle, contexts)
        for execution in executions:
            state, outputs = _read_back(connection, execution.id)
            cached = state == metadata_store_pb2.Execution.CACHED
            since, until = execution.create_time_since_epoch, execution.last_update_time_since_epoch
            seconds = (until - since) / 1000
            node_id = node.node_info.id
            results[node_id] = NodeResult(node_id, seconds, cached, outputs)
    return results


def metadata_connection(ir: pipeline_pb2.Pipeline) -> Any:
    """The metadata connection that the pipeline was compiled with."""
    config = runner_utils.extract_local_deployment_config(ir).metadata_connection_config
    return getattr(config, config.WhichOneof('connection_config'))


def _read_back(
    connection: Any, execution_id: int | None
) -> tuple[int | None, dict[str, list[metadata_store_pb2.Artifact]]]:
    """State and outputs of an execution; those from the cache are in the metadata only."""
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


def _note_files(
    connection: Any, execution_id: int, outputs: dict[str, list[metadata_store_pb2.Artifact]]
) -> None:
    with metadata.Metadata(connection) as handle:
        (execution,) = handle.store.get_executions_by_id([execution_id])
        if cached_outputs.FILES not in execution.custom_properties:  # else a pod came twice
            cached_outputs.note_files(handle.store, execution, outputs)


def _is_interrupt(error: Exception) -> bool:
    """Whether a person stopped it.

    Beam catches everything that is raised while it runs a step, Ctrl-C as well, and raises a
    RuntimeError with the name of the step instead; of other processes it passes on a text alone.
    """
    return any(
        isinstance(each, KeyboardInterrupt)
        or (isinstance(each, RuntimeError) and _INTERRUPTED.search(str(each)))
        for each in _chain(error)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and what it was raised from or while handling, as a traceback shows them."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
