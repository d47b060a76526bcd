"""Which statistics those of the newest span are compared with."""

from collections import defaultdict
from collections.abc import Collection

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from common.features import SPAN

STATISTICS, PREVIOUS = 'statistics', 'previous_statistics'
_GATE = 'AnomalyGate'
_PASSED = (metadata_store_pb2.Execution.COMPLETE, metadata_store_pb2.Execution.CACHED)
_OUTPUTS = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INTERNAL_OUTPUT)
_INPUTS = (metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.INTERNAL_INPUT)
_AT_ONCE = 500  # ids in one request: an answer over gRPC has a limit of 4 MB


class PreviousSpanStatisticsStrategy(ResolverStrategy):
    """The statistics of the highest span below the newest one that the gate let through.

    Never those of the same span: a run that stopped and is begun again is compared with the same as
    before, and stops again. What was stopped on is no measure of what comes after it either.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """Input and output have the channels `statistics`, of the newest span, and the previous.

        `previous_statistics` holds all of the pipeline, and comes back with one artifact or none.
        """
        (current,) = input_dict[STATISTICS]
        known = {artifact.id: artifact for artifact in input_dict[PREVIOUS]}
        spans = _spans(store, {current.id, *known})
        newest = spans.get(current.id)
        lower = {key for key in known if newest is not None and spans.get(key, newest) < newest}
        passed = _passed(store, lower)
        latest = max(passed, key=lambda key: (spans[key], key), default=None)
        return {**input_dict, PREVIOUS: [] if latest is None else [known[latest]]}


def _spans(store: mlmd.MetadataStore, statistics: Collection[int]) -> dict[int, int]:
    """The spans of statistics by their ids: those of the Examples that they were made of."""
    makers = _executions(store, statistics, _OUTPUTS)
    events = [
        event
        for some in _chunks({key for keys in makers.values() for key in keys})
        for event in store.get_events_by_execution_ids(some)
        if event.type in _INPUTS
    ]
    artifacts = {
        artifact.id: artifact.custom_properties[SPAN].int_value
        for some in _chunks({event.artifact_id for event in events})
        for artifact in store.get_artifacts_by_id(some)
        if SPAN in artifact.custom_properties
    }
    of_maker = {
        event.execution_id: artifacts[event.artifact_id]
        for event in events
        if event.artifact_id in artifacts
    }
    return {
        key: max(of_maker[each] for each in made_by if each in of_maker)
        for key, made_by in makers.items()
        if any(each in of_maker for each in made_by)
    }


def _passed(store: mlmd.MetadataStore, statistics: Collection[int]) -> set[int]:
    """Those that a gate has let through."""
    readers = _executions(store, statistics, _INPUTS)
    gates = {
        execution.id
        for some in _chunks({key for keys in readers.values() for key in keys})
        for execution in store.get_executions_by_id(some)
        if execution.type.rpartition('.')[2] == _GATE and execution.last_known_state in _PASSED
    }
    return {key for key, read_by in readers.items() if read_by & gates}


def _executions(
    store: mlmd.MetadataStore, artifacts: Collection[int], types: Collection[int]
) -> dict[int, set[int]]:
    """The executions that made or read each artifact."""
    found: dict[int, set[int]] = defaultdict(set)
    for some in _chunks(artifacts):
        for event in store.get_events_by_artifact_ids(some):
            if event.type in types:
                found[event.artifact_id].add(event.execution_id)
    return found


def _chunks(ids: Collection[int]) -> list[list[int]]:
    ordered = sorted(ids)
    return [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]
