"""Which of the ingested spans are the newest."""

import ml_metadata as mlmd
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from common.features import SPAN


class NewestSpansStrategy(ResolverStrategy):
    """Of each channel of Examples, those with the highest spans.

    TFX's own SpanRangeStrategy gives all channels the same range.

    Args:
        counts: how many, by the channel's key.
    """

    def __init__(self, counts: dict[str, int]) -> None:
        self._counts = counts

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """The same channels, newest span first."""
        return {
            key: sorted(artifacts, key=_span, reverse=True)[: self._counts[key]]
            for key, artifacts in input_dict.items()
        }


def _span(artifact: Artifact) -> int:
    return artifact.get_int_custom_property(SPAN)
