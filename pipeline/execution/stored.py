"""Runs nodes whose artifacts are in object storage; their executors work on a local disk.

ML Metadata has the URIs of the bucket. Before an executor runs, its inputs are downloaded to the
folders that mirror them; after it, its outputs are uploaded, and only then TFX publishes them. A
node that finished is therefore kept if its pod is lost.
"""

import copy
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attr
from tfx.dsl.io import filesystem_registry
from tfx.dsl.io.plugins.local import LocalFilesystem
from tfx.orchestration import metadata
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher
from tfx.orchestration.portable.base_executor_operator import BaseExecutorOperator
from tfx.orchestration.portable.beam_executor_operator import BeamExecutorOperator
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.orchestration.portable.python_executor_operator import PythonExecutorOperator
from tfx.proto.orchestration import executable_spec_pb2, execution_result_pb2, pipeline_pb2
from tfx.types import Artifact

from common.artifacts import download, folder_of, is_stored, upload
from common.files import MEGABYTE
from common.mirror import SCHEMES, local_path, uri_of

_PRIORITY = 0  # before TensorFlow's file systems, which have 10
_Artifacts = Mapping[str, Sequence[Artifact]]

_log = logging.getLogger(__name__)


def launch_stored(ir: pipeline_pb2.Pipeline, node: pipeline_pb2.PipelineNode) -> None:
    """Runs a node of a pipeline whose root is in object storage; raises as its executor does."""
    filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(_MirroredFilesystem, _PRIORITY)
    config, node_id = runner_utils.extract_local_deployment_config(ir), node.node_info.id
    connection = config.metadata_connection_config
    launcher.Launcher(
        pipeline_node=node,
        mlmd_connection=metadata.Metadata(
            getattr(connection, connection.WhichOneof('connection_config'))
        ),
        pipeline_info=ir.pipeline_info,
        pipeline_runtime_spec=ir.runtime_spec,
        executor_spec=runner_utils.extract_executor_spec(config, node_id),
        custom_driver_spec=runner_utils.extract_custom_driver_spec(config, node_id),
        custom_executor_operators={
            executable_spec_pb2.PythonClassExecutableSpec: _StoredPythonOperator,
            executable_spec_pb2.BeamExecutableSpec: _StoredBeamOperator,
        },
    ).launch()


class _Stored(BaseExecutorOperator):
    """Downloads the inputs of an executor, and uploads its outputs."""

    def run_executor(
        self, execution_info: ExecutionInfo, **options: Any
    ) -> execution_result_pb2.ExecutorOutput:
        """Runs the executor on local folders; its result has the URIs of the bucket."""
        start = time.monotonic()
        read = sum(map(download, _uris(execution_info.input_dict)))
        middle = time.monotonic()
        for uri in _uris(execution_info.output_dict):  # TFX skips values that a lost pod uploaded
            folder_of(uri).parent.mkdir(parents=True, exist_ok=True)
        output = super().run_executor(_on_disk(execution_info), **options)
        for artifacts in output.output_artifacts.values():
            for artifact in artifacts.artifacts:
                artifact.uri = uri_of(artifact.uri)
                for value in artifact.custom_properties.values():  # some are places of files
                    if value.HasField('string_value'):
                        value.string_value = uri_of(value.string_value)
        last = time.monotonic()
        written = sum(map(upload, _uris(execution_info.output_dict)))
        _log.info(
            'object storage: %.1f MB read in %.1f s, %.1f MB written in %.1f s',
            read / MEGABYTE,
            middle - start,
            written / MEGABYTE,
            time.monotonic() - last,
        )
        return output


class _StoredPythonOperator(_Stored, PythonExecutorOperator):
    """For executors of Python."""


class _StoredBeamOperator(_Stored, BeamExecutorOperator):
    """For executors of Beam."""


def _uris(artifacts: _Artifacts) -> Iterator[str]:
    return (each.uri for values in artifacts.values() for each in values)


def _on_disk(info: ExecutionInfo) -> ExecutionInfo:
    """The same execution with local folders for its artifacts and its temporary files."""
    places = ('execution_output_uri', 'stateful_working_dir', 'tmp_dir')
    changes: dict[str, Any] = {name: str(local_path(getattr(info, name))) for name in places}
    for name in ('input_dict', 'output_dict'):
        changes[name] = copy.deepcopy(getattr(info, name))
        for artifact in (each for values in changes[name].values() for each in values):
            artifact.uri = str(folder_of(artifact.uri))
    return attr.evolve(info, **changes)


def _on_mirror(method: Any) -> Any:
    """A method of the local file system that accepts URIs of object storage."""
    return staticmethod(lambda *given, **options: method(*map(_local, given), **options))


def _local(value: Any) -> Any:
    return str(local_path(value)) if isinstance(value, str) else value


def _exists(path: str) -> bool:
    """TFX asks this of the outputs in its cache."""
    return local_path(path).exists() or is_stored(path)


# TFX creates and removes the folders of its executions through this.
_MirroredFilesystem = type(
    '_MirroredFilesystem',
    (LocalFilesystem,),
    {
        'SUPPORTED_SCHEMES': [f'{scheme}://' for scheme in SCHEMES],
        **{
            name: _on_mirror(method.__func__)
            for name, method in vars(LocalFilesystem).items()
            if isinstance(method, staticmethod)
        },
        'exists': staticmethod(_exists),
    },
)
