"""ML Metadata queries and custom properties.

Requests are split into chunks, because gRPC limits a response to 4 MB.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact, Event, Execution

INPUTS = (Event.INPUT, Event.INTERNAL_INPUT)
OUTPUTS = (Event.OUTPUT, Event.INTERNAL_OUTPUT)
SUCCEEDED = (Execution.COMPLETE, Execution.CACHED)  # execution states
_CHUNK = 500  # ids per request


def custom_property(node: Artifact | Execution | None, key: str) -> Any:
    """Value of a custom property, or None."""
    value = node.custom_properties.get(key) if node else None
    return None if value is None else getattr(value, value.WhichOneof('value'))


def set_custom_properties(node: Artifact | Execution, values: Mapping[str, str | int]) -> None:
    """Sets custom properties of a proto; the caller writes it to the store."""
    for key, value in values.items():
        if isinstance(value, int):
            node.custom_properties[key].int_value = value
        else:
            node.custom_properties[key].string_value = value


def component_class(execution: Execution) -> str:
    """Class name of an execution's component, such as `Trainer`."""
    return str(execution.type.rpartition('.')[2])


def events_of_artifacts(
    store: MetadataStore, artifacts: Collection[int], types: Collection[int]
) -> list[Event]:
    """Events of artifact ids with one of the types (`INPUTS` or `OUTPUTS`)."""
    events = _chunked(store.get_events_by_artifact_ids, artifacts)
    return [event for event in events if event.type in types]


def events_of_executions(
    store: MetadataStore, executions: Collection[int], types: Collection[int]
) -> list[Event]:
    """Events of execution ids with one of the types (`INPUTS` or `OUTPUTS`)."""
    events = _chunked(store.get_events_by_execution_ids, executions)
    return [event for event in events if event.type in types]


def artifacts_by_id(store: MetadataStore, artifacts: Collection[int]) -> dict[int, Artifact]:
    """Artifacts by id, without unknown ids."""
    return {each.id: each for each in _chunked(store.get_artifacts_by_id, artifacts)}


def executions_by_id(store: MetadataStore, executions: Collection[int]) -> dict[int, Execution]:
    """Executions by id, without unknown ids."""
    return {each.id: each for each in _chunked(store.get_executions_by_id, executions)}


def _chunked(request: Callable[[list[int]], list[Any]], ids: Collection[int]) -> Iterator[Any]:
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), _CHUNK):
        yield from request(ordered[start : start + _CHUNK])
