"""Which statistics those of the newest span are compared with."""

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
    makers = _executions(store, statistics, OUTPUTS)
    events = events_of_executions(store, set().union(*makers.values()), INPUTS)
    spans = {
        key: int(custom_property(artifact, SPAN))
        for key, artifact in artifacts_by_id(store, {each.artifact_id for each in events}).items()
        if SPAN in artifact.custom_properties
    }
    of_maker = {
        event.execution_id: spans[event.artifact_id]
        for event in events
        if event.artifact_id in spans
    }
    return {
        key: max(of_maker[each] for each in made_by if each in of_maker)
        for key, made_by in makers.items()
        if any(each in of_maker for each in made_by)
    }


def _passed(store: mlmd.MetadataStore, statistics: Collection[int]) -> set[int]:
    """Those that a gate has let through."""
    readers = _executions(store, statistics, INPUTS)
    gates = {
        key
        for key, each in executions_by_id(store, set().union(*readers.values())).items()
        if component_class(each) == _GATE and each.last_known_state in SUCCEEDED
    }
    return {key for key, read_by in readers.items() if read_by & gates}


def _executions(
    store: mlmd.MetadataStore, artifacts: Collection[int], types: Collection[int]
) -> dict[int, set[int]]:
    """The executions that made or read each artifact."""
    found: dict[int, set[int]] = defaultdict(set)
    for event in events_of_artifacts(store, artifacts, types):
        found[event.artifact_id].add(event.execution_id)
    return found
