"""Resolver strategy for the statistics of the previous span."""

from collections import defaultdict
from collections.abc import Collection

import ml_metadata as mlmd
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from common.features import SPAN
from common.metadata_queries import (
    INPUTS,
    OUTPUTS,
    SUCCEEDED,
    artifacts_by_id,
    component_class,
    custom_property,
    events_of_artifacts,
    events_of_executions,
    executions_by_id,
)

STATISTICS, PREVIOUS = 'statistics', 'previous_statistics'
_GATE = 'AnomalyGate'


class PreviousSpanStatisticsStrategy(ResolverStrategy):
    """Resolves the statistics of the highest span below the newest one that passed AnomalyGate.

    Statistics of the same span are never used: a run that AnomalyGate stopped is compared with the
    same statistics when it is repeated, and stops again. Nor are those of a span that was stopped.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """Resolves `previous_statistics`, all statistics of the pipeline, to one artifact or none.

        The channel `statistics`, of the newest span, is unchanged.
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
    """Spans by the ids of statistics, read from their input Examples."""
    producers = _executions(store, statistics, OUTPUTS)
    events = events_of_executions(store, set().union(*producers.values()), INPUTS)
    spans = {
        key: int(custom_property(artifact, SPAN))
        for key, artifact in artifacts_by_id(store, {each.artifact_id for each in events}).items()
        if SPAN in artifact.custom_properties
    }
    span_of_producer = {
        event.execution_id: spans[event.artifact_id]
        for event in events
        if event.artifact_id in spans
    }
    return {
        key: max(span_of_producer[each] for each in known)
        for key, executions in producers.items()
        if (known := executions & span_of_producer.keys())
    }


def _passed(store: mlmd.MetadataStore, statistics: Collection[int]) -> set[int]:
    """Ids of the statistics that passed AnomalyGate."""
    readers = _executions(store, statistics, INPUTS)
    gates = {
        key
        for key, each in executions_by_id(store, set().union(*readers.values())).items()
        if component_class(each) == _GATE and each.last_known_state in SUCCEEDED
    }
    return {key for key, executions in readers.items() if executions & gates}


def _executions(
    store: mlmd.MetadataStore, artifacts: Collection[int], types: Collection[int]
) -> dict[int, set[int]]:
    """Ids of the executions that wrote or read each artifact."""
    found: dict[int, set[int]] = defaultdict(set)
    for event in events_of_artifacts(store, artifacts, types):
        found[event.artifact_id].add(event.execution_id)
    return found
