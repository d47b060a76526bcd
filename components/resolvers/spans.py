"""Resolver strategies for the newest spans, and for the statistics of the span before."""

import ml_metadata as mlmd
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from common.features import SPAN
from common.metadata_queries import custom_property, nodes_of

STATISTICS, PREVIOUS = 'statistics', 'previous_statistics'


class NewestSpansStrategy(ResolverStrategy):
    """Resolves the Examples with the highest spans, with a separate count per channel.

    TFX's SpanRangeStrategy uses the same range for all channels; `counts` is by channel key.
    """

    def __init__(self, counts: dict[str, int]) -> None:
        self._counts = counts

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """Resolves each channel, newest span first."""
        return {
            key: sorted(artifacts, key=_span, reverse=True)[: self._counts[key]]
            for key, artifacts in input_dict.items()
        }


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
        spans: dict[int, int] = {}
        passed: set[int] = set()
        for node in nodes_of(store, {current.id, *known}):
            if node.kind == 'AnomalyGate':
                passed.update(each.id for each in node.inputs.get(STATISTICS, ()))
            made, span = node.output(STATISTICS), custom_property(node.input('examples'), SPAN)
            if made is not None and span is not None:
                spans[made.id] = span
        newest = spans.get(current.id)
        lower = [
            (spans[key], key)
            for key in passed & spans.keys() & known.keys()
            if newest is not None and spans[key] < newest
        ]
        return {**input_dict, PREVIOUS: [known[key] for _, key in sorted(lower)[-1:]]}


def _span(artifact: Artifact) -> int:
    return artifact.get_int_custom_property(SPAN)
