"""Verifies cached outputs before TFX reuses them.

TFX reuses an output if its folder exists, regardless of its content. So after each node the names
and sizes of its output files are stored as a custom property of its execution. The driver of a
later run compares them with the files, and marks damaged artifacts as not live. TFX does not reuse
executions with such outputs, so the node runs again.

The listing is not stored in the artifacts because their properties are part of cache keys.
"""

import itertools
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import data_types_utils, metadata
from tfx.orchestration.portable import base_driver_operator, cache_utils
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.orchestration.portable.python_driver_operator import PythonDriverOperator
from tfx.proto.orchestration.driver_output_pb2 import DriverOutput
from tfx.proto.orchestration.executable_spec_pb2 import PythonClassExecutableSpec
from tfx.types import Artifact, artifact_utils

from common.artifacts import folder_of
from common.metadata_queries import Node, artifacts_by_id, set_custom_properties
from pipeline.code_version import COMMIT, git_commit

_FILES = 'catdog_files'  # custom property of an execution: a listing by artifact ID, as JSON
# ML Metadata returns a hundred executions per response, and responses have at most 4 MB.
_MAX_LISTING_BYTES = 20_000
_LIVE = metadata_store_pb2.Artifact.LIVE

Listing = dict[str, Any]

_log = logging.getLogger(__name__)


def record_files_and_commit(store: MetadataStore, node: Node) -> None:
    """Stores a listing of the output files, and the git commit of the code, with an execution that
    has just finished.
    """
    execution = node.execution
    if _FILES in execution.custom_properties:  # the task of this node was started twice
        return
    artifacts = list(itertools.chain(*node.outputs.values()))
    text = json.dumps({each.id: list_files(folder_of(each.uri)) for each in artifacts})
    if len(text) > _MAX_LISTING_BYTES:
        text = json.dumps({each.id: list_folders(folder_of(each.uri)) for each in artifacts})
    set_custom_properties(execution, {_FILES: text, COMMIT: git_commit()})
    store.put_executions([execution])


class CacheCheckOperator(base_driver_operator.BaseDriverOperator):
    """Driver operator that runs a node's own driver, if any, and marks damaged cached outputs.

    TFX's launcher runs the driver directly before the cache lookup. So this operator computes the
    same cache key, from the same inputs, outputs and exec properties, and checks only executions
    with that key. The driver spec of a node without a driver is empty.
    """

    SUPPORTED_EXECUTABLE_SPEC_TYPE = [PythonClassExecutableSpec]  # noqa: RUF012

    def __init__(
        self, driver_spec: Message, mlmd_connection: metadata.Metadata, executor_spec: Message
    ) -> None:
        super().__init__(driver_spec, mlmd_connection)
        self._executor_spec = executor_spec

    def run_driver(self, execution_info: ExecutionInfo) -> DriverOutput:
        output = DriverOutput()
        if self._driver_spec.class_path:
            driver = PythonDriverOperator(self._driver_spec, self._mlmd_connection)
            output = driver.run_driver(execution_info)
        with self._mlmd_connection as handle:
            cache_context = cache_utils.get_cache_context(
                handle,
                execution_info.pipeline_node,
                execution_info.pipeline_info,
                executor_spec=self._executor_spec,
                input_artifacts=execution_info.input_dict,
                output_artifacts=_outputs(execution_info, output),
                parameters=_parameters(execution_info, output),
            )
            node_id = execution_info.pipeline_node.node_info.id
            _mark_damaged(handle.store, cache_context.id, node_id)
        return output


def _outputs(execution_info: ExecutionInfo, output: DriverOutput) -> dict[str, list[Artifact]]:
    """Returns the prepared outputs, with the replacements of the driver."""
    prepared = execution_info.output_dict
    changed = {
        key: [
            artifact_utils.deserialize_artifact(prepared[key][0].artifact_type, artifact)
            for artifact in artifacts.artifacts
        ]
        for key, artifacts in output.output_artifacts.items()
    }
    return {**prepared, **changed}


def _parameters(execution_info: ExecutionInfo, output: DriverOutput) -> dict[str, Any]:
    """Returns the exec properties, with the replacements of the driver."""
    changed = {
        key: data_types_utils.get_metadata_value(value)
        for key, value in output.exec_properties.items()
    }
    return {**execution_info.exec_properties, **changed}


def _mark_damaged(store: MetadataStore, cache_context: int, node_id: str) -> None:
    listings: dict[int, Listing] = {}
    for execution in store.get_executions_by_context(cache_context):  # the cached ones have none
        text = execution.custom_properties[_FILES].string_value or '{}'
        listings.update({int(key): listing for key, listing in json.loads(text).items()})
    damaged = []
    for artifact in artifacts_by_id(store, sorted(listings)).values():
        if artifact.state != _LIVE:
            continue
        problem = find_damage(folder_of(artifact.uri), listings[artifact.id])
        if problem is not None:
            _log.warning('%s runs again: cached output is damaged: %s', node_id, problem)
            artifact.state = metadata_store_pb2.Artifact.MARKED_FOR_DELETION
            damaged.append(artifact)
    if damaged:
        store.put_artifacts(damaged)


def find_damage(root: Path, listing: Listing) -> str | None:
    """Describes the first difference between an artifact and its listing; None if there is none.

    New files are ignored.
    """
    by_folder = any(isinstance(recorded, list) for recorded in listing.values())
    found = list_folders(root) if by_folder else list_files(root)
    for name, recorded in listing.items():
        path = root / name if name else root
        if name not in found:
            return f'{path} is missing'
        if found[name] != recorded:
            return f'{path} has {_format(found[name])} instead of {_format(recorded)}'
    return None


def list_files(root: Path) -> Listing:
    """Lists file sizes by path relative to the artifact; a single file has the path ''."""
    return dict(_walk(root))


def list_folders(root: Path) -> Listing:
    """Lists number and total size of files by folder, for artifacts with very many files."""
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for name, size in _walk(root):
        folder = str(Path(name).parent)
        files[folder] += 1
        sizes[folder] += size
    return {folder: [files[folder], sizes[folder]] for folder in sorted(files)}


def _walk(root: Path) -> Iterator[tuple[str, int]]:
    if root.is_file():
        yield '', root.stat().st_size
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            file = Path(folder, name)
            yield str(file.relative_to(root)), file.stat().st_size


def _format(recorded: Any) -> str:
    if isinstance(recorded, list):
        files, size = recorded
        return f'{files} file{"s" * (files != 1)} of {size} bytes'
    return f'{recorded} bytes'
