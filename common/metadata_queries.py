"""Reads executions with their artifacts from ML Metadata, and reads and sets custom properties."""

import dataclasses
import datetime
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact, Event, Execution

SUCCEEDED = (Execution.COMPLETE, Execution.CACHED)  # states of an execution with outputs
_INPUTS = (Event.INPUT, Event.INTERNAL_INPUT)
_OUTPUTS = (Event.OUTPUT, Event.INTERNAL_OUTPUT)
# IDs per request. gRPC limits a response to 4 MB, and an execution may have 20 kB of file names.
_CHUNK = 100


@dataclasses.dataclass(frozen=True)
class Node:
    """An execution with its input and output artifacts by key, such as `model`."""

    execution: Execution
    inputs: dict[str, list[Artifact]]
    outputs: dict[str, list[Artifact]]

    @property
    def kind(self) -> str:
        """Class name of the component, such as `Trainer`."""
        return component_class(self.execution)

    @property
    def cached(self) -> bool:
        """Whether the outputs are those of an earlier execution."""
        return bool(self.execution.last_known_state == Execution.CACHED)

    @property
    def ended(self) -> datetime.datetime:
        """End of the execution, in UTC."""
        milliseconds = self.execution.last_update_time_since_epoch
        return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.timezone.utc)

    @property
    def seconds(self) -> float:
        """Wall time of the execution."""
        since = self.execution.create_time_since_epoch
        return float(self.execution.last_update_time_since_epoch - since) / 1000

    def input(self, key: str) -> Artifact | None:
        """The first artifact of an input; None if there is none."""
        return next(iter(self.inputs.get(key, ())), None)

    def output(self, key: str) -> Artifact | None:
        """The first artifact of an output; None if there is none."""
        return next(iter(self.outputs.get(key, ())), None)

    @property
    def artifacts(self) -> list[Artifact]:
        """All inputs and outputs."""
        return [*itertools.chain(*self.inputs.values(), *self.outputs.values())]

    def uses(self, models: Collection[int]) -> bool:
        """Whether the input `model` is one of these artifacts, given by their ids."""
        return any(each.id in models for each in self.inputs.get('model', ()))


def read_nodes(store: MetadataStore, executions: Iterable[Execution]) -> list[Node]:
    """Executions with their artifacts, oldest first; leaves out those that failed or still run."""
    nodes = {
        each.id: Node(each, defaultdict(list), defaultdict(list))
        for each in sorted(executions, key=lambda each: each.id)
        if each.last_known_state in SUCCEEDED
    }
    events = list(_chunked(store.get_events_by_execution_ids, nodes))
    artifacts = artifacts_by_id(store, {event.artifact_id for event in events})
    for event in events:
        node = nodes[event.execution_id]
        for types, channels in ((_INPUTS, node.inputs), (_OUTPUTS, node.outputs)):
            if event.type in types:
                channels[event.path.steps[0].key].append(artifacts[event.artifact_id])
    return list(nodes.values())


def nodes_of(store: MetadataStore, artifacts: Collection[int]) -> list[Node]:
    """Successful executions that read or wrote one of the artifacts, oldest first."""
    events = _chunked(store.get_events_by_artifact_ids, artifacts)
    executions = {event.execution_id for event in events}
    return read_nodes(store, _chunked(store.get_executions_by_id, executions))


def custom_property(node: Artifact | Execution | None, key: str) -> Any:
    """Value of a custom property, or None."""
    value = node.custom_properties.get(key) if node else None
    return None if value is None else getattr(value, value.WhichOneof('value'))


def set_custom_properties(
    node: Artifact | Execution, values: Mapping[str, str | int | None]
) -> None:
    """Sets custom properties of a proto, without those that are None."""
    for key, value in values.items():
        if isinstance(value, int):
            node.custom_properties[key].int_value = value
        elif value is not None:
            node.custom_properties[key].string_value = value


def component_class(execution: Execution) -> str:
    """Class name of an execution's component, such as `Trainer`."""
    return str(execution.type.rpartition('.')[2])


def artifacts_by_id(store: MetadataStore, artifacts: Collection[int]) -> dict[int, Artifact]:
    """Artifacts by id, without unknown ids."""
    return {each.id: each for each in _chunked(store.get_artifacts_by_id, artifacts)}


def _chunked(request: Callable[[list[int]], list[Any]], ids: Collection[int]) -> Iterator[Any]:
    ordered = sorted(set(ids))
    for start in range(0, len(ordered), _CHUNK):
        yield from request(ordered[start : start + _CHUNK])
