"""Resolver strategies for the spans of a run, and for the statistics of the span before."""

import json

import ml_metadata as mlmd
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from common.artifacts import content_of
from common.features import JUDGED_ONLY, MANIFEST
from common.metadata_queries import custom_property, nodes_of
from components.image_example_gen.sources.spans import judged_spans

TRAINED, NEWEST, EVALUATED = 'trained', 'newest', 'evaluated'
STATISTICS, PREVIOUS = 'statistics', 'previous_statistics'


class SpanSelectionStrategy(ResolverStrategy):
    """Resolves the Examples to train on, to describe, and to evaluate on.

    TFX's SpanRangeStrategy uses the same range for all channels.
    """

    def __init__(self, test_window: int, min_test_images: int) -> None:
        self._test_window, self._min_test_images = test_window, min_test_images

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """Resolves the channels TRAINED, NEWEST and EVALUATED, all Examples of a run each.

        The spans of TRAINED are the oldest first, those of EVALUATED the newest first: the newest
        `test_window`, and more until their test splits have `min_test_images` images.
        """
        spans = sorted(input_dict[TRAINED], key=lambda each: each.span, reverse=True)
        test_images = [_test_images(span) for span in spans]
        judged = judged_spans(test_images, self._test_window, self._min_test_images)
        trained = [span for span in spans if not custom_property(span.mlmd_artifact, JUDGED_ONLY)]
        return {TRAINED: trained[::-1], NEWEST: spans[:1], EVALUATED: spans[:judged]}


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
        before = {each.id: each for each in input_dict[PREVIOUS] if each.span < current.span}
        gates = (node for node in nodes_of(store, before) if node.kind == 'AnomalyGate')
        passed = {each.id for gate in gates for each in gate.inputs.get(STATISTICS, ())}
        found = sorted(before.keys() & passed, key=lambda each: (before[each].span, each))
        return {**input_dict, PREVIOUS: [before[each] for each in found[-1:]]}


def _test_images(artifact: Artifact) -> int:
    counts = json.loads((content_of(artifact.uri) / MANIFEST).read_text())['counts']
    return sum(counts['test'].values())
