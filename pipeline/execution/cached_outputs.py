"""Outputs that a later run may take over have to be as they were left.

TFX takes an output from its cache if the folder is there, whatever is in it. So after each node a
listing of its files is kept with its execution, in its custom property, and compared when a later
run comes upon that execution. An artifact that differs is marked: TFX takes over no execution with
an output that is not live, and the node runs anew.

The listing is no part of the artifacts: these, as they are kept, are part of the keys of the cache.
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from ml_metadata import ListOptions, MetadataStore
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import data_types_utils, metadata
from tfx.orchestration.portable import base_driver_operator, cache_utils
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.orchestration.portable.python_driver_operator import PythonDriverOperator
from tfx.proto.orchestration.driver_output_pb2 import DriverOutput
from tfx.proto.orchestration.executable_spec_pb2 import PythonClassExecutableSpec
from tfx.types import Artifact, artifact_utils

from common.artifacts import folder_of
from common.blessing import is_overridden

FILES = 'catdog_files'  # the custom property: by the ids of artifacts, files and their sizes
_LARGEST = 20_000  # bytes of that: an answer of ML Metadata holds a hundred executions or 4 MB
_LIVE = metadata_store_pb2.Artifact.LIVE

Listing = dict[str, Any]

_log = logging.getLogger(__name__)


def note_files(
    store: MetadataStore,
    execution: metadata_store_pb2.Execution,
    outputs: Mapping[str, list[metadata_store_pb2.Artifact]],
) -> None:
    """Keeps a listing of what a node has just written."""
    artifacts = [artifact for those in outputs.values() for artifact in those]
    text = json.dumps({each.id: list_files(folder_of(each.uri)) for each in artifacts})
    if len(text) > _LARGEST:
        text = json.dumps({each.id: list_folders(folder_of(each.uri)) for each in artifacts})
    execution.custom_properties[FILES].string_value = text
    store.put_executions([execution])


class CacheCheckOperator(base_driver_operator.BaseDriverOperator):
    """Runs the driver of a node, if it has one, and marks damaged outputs that TFX would reuse.

    TFX's launcher runs a driver directly before it looks up its cache, and takes the operator that
    runs it as an argument. So the inputs, the prepared outputs and the exec properties are those of
    the cache key here too, and only executions with this key are read.

    Args:
        driver_spec: of the driver; an empty one for a node without a driver.
        mlmd_connection: of the launcher.
        executor_spec: of the node; it is part of the cache key.
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
    """The prepared outputs, or what a driver has put in their place."""
    prepared = execution_info.output_dict
    changed = {
        key: [
            artifact_utils.deserialize_artifact(prepared[key][0].artifact_type, artifact)
            for artifact in those.artifacts
        ]
        for key, those in output.output_artifacts.items()
    }
    return {**prepared, **changed}


def _parameters(execution_info: ExecutionInfo, output: DriverOutput) -> dict[str, Any]:
    """The exec properties, with those that a driver has changed."""
    changed = {
        key: data_types_utils.get_metadata_value(value)
        for key, value in output.exec_properties.items()
    }
    return {**execution_info.exec_properties, **changed}


def _mark_damaged(store: MetadataStore, cache_context: int, node_id: str) -> None:
    # Later executions that reused the outputs are in the same context; they wrote no files.
    executions = store.get_executions_by_context(
        cache_context, ListOptions(filter_query='last_known_state = COMPLETE')
    )
    listings: dict[int, Listing] = {}
    for execution in executions:
        text = execution.custom_properties[FILES].string_value or '{}'
        listings.update({int(key): listing for key, listing in json.loads(text).items()})
    damaged = []
    for artifact in store.get_artifacts_by_id(sorted(listings)):
        if artifact.state != _LIVE or is_overridden(artifact):
            continue
        problem = find_damage(folder_of(artifact.uri), listings[artifact.id])
        if problem is not None:
            _log.warning('%s runs anew: of what an earlier run left, %s', node_id, problem)
            artifact.state = metadata_store_pb2.Artifact.MARKED_FOR_DELETION
            damaged.append(artifact)
    if damaged:
        store.put_artifacts(damaged)


def find_damage(root: Path, listing: Listing) -> str | None:
    """What is not as it was, as a clause; None if all of it is.

    What came later is no damage.
    """
    by_folder = any(isinstance(what, list) for what in listing.values())
    now = list_folders(root) if by_folder else list_files(root)
    for name, before in listing.items():
        path = root / name if name else root
        if name not in now:
            return f'{path} is missing'
        if now[name] != before:
            return f'{path} has {_words(now[name])} instead of {_words(before)}'
    return None


def list_files(root: Path) -> Listing:
    """Sizes of all files by their paths in an artifact; that of one which is a file has no name."""
    return dict(_walk(root))


def list_folders(root: Path) -> Listing:
    """The same for artifacts of very many files: how many and how large, by folders."""
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


def _words(what: Any) -> str:
    if isinstance(what, list):
        files, size = what
        return f'{files} file{"s" * (files != 1)} of {size} bytes'
    return f'{what} bytes'
