"""Queries of ML Metadata, and custom properties of its nodes. Imports neither TFX nor TensorFlow.

Requests are split into chunks: a response over gRPC is limited to 4 MB.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact, Event, Execution

INPUTS = (Event.INPUT, Event.INTERNAL_INPUT)
OUTPUTS = (Event.OUTPUT, Event.INTERNAL_OUTPUT)
SUCCEEDED = (Execution.COMPLETE, Execution.CACHED)  # states of an execution
_CHUNK = 500  # ids per request


def custom_property(node: Artifact | Execution | None, key: str) -> Any:
    """The value of a custom property; None if it is not set."""
    value = node.custom_properties.get(key) if node else None
    return None if value is None else getattr(value, value.WhichOneof('value'))


def set_custom_properties(node: Artifact | Execution, values: Mapping[str, str | int]) -> None:
    """Sets custom properties by their keys, in the proto only: the caller stores it."""
    for key, value in values.items():
        if isinstance(value, int):
            node.custom_properties[key].int_value = value
        else:
            node.custom_properties[key].string_value = value


def component_class(execution: Execution) -> str:
    """The class name of the component that ran, such as `Trainer`."""
    return str(execution.type.rpartition('.')[2])


def events_of_artifacts(
    store: MetadataStore, artifacts: Collection[int], types: Collection[int]
) -> list[Event]:
    """Events of artifacts, by their ids, that have one of the types (`INPUTS` or `OUTPUTS`)."""
    return [
        event
        for ids in _chunks(artifacts)
        for event in store.get_events_by_artifact_ids(ids)
        if event.type in types
    ]


def events_of_executions(
    store: MetadataStore, executions: Collection[int], types: Collection[int]
) -> list[Event]:
    """Events of executions, by their ids, that have one of the types (`INPUTS` or `OUTPUTS`)."""
    return [
        event
        for ids in _chunks(executions)
        for event in store.get_events_by_execution_ids(ids)
        if event.type in types
    ]


def artifacts_by_id(store: MetadataStore, artifacts: Collection[int]) -> dict[int, Artifact]:
    """Artifacts by their ids; ids that do not exist are left out."""
    return {
        artifact.id: artifact
        for ids in _chunks(artifacts)
        for artifact in store.get_artifacts_by_id(ids)
    }


def executions_by_id(store: MetadataStore, executions: Collection[int]) -> dict[int, Execution]:
    """Executions by their ids; ids that do not exist are left out."""
    return {
        execution.id: execution
        for ids in _chunks(executions)
        for execution in store.get_executions_by_id(ids)
    }


def _chunks(ids: Collection[int]) -> Iterator[list[int]]:
    ordered = sorted(set(ids))
    return (ordered[start : start + _CHUNK] for start in range(0, len(ordered), _CHUNK))
