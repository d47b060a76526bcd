"""Resolver strategy for the newest spans."""

import ml_metadata as mlmd
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from common.features import SPAN


class NewestSpansStrategy(ResolverStrategy):
    """Resolves the Examples with the highest spans, with a separate count per channel.

    TFX's SpanRangeStrategy uses the same range for all channels.

    Args:
        counts: number of spans by channel key.
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


def _span(artifact: Artifact) -> int:
    return artifact.get_int_custom_property(SPAN)
