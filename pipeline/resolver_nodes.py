"""Resolver nodes, which find artifacts of earlier runs in ML Metadata."""

from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from common.mirror import uri_of
from components.resolvers.live_model import (
    CANDIDATE,
    MODEL_BLESSING,
    AnchorModelStrategy,
    LiveModelStrategy,
)
from components.resolvers.spans import (
    EVALUATED,
    NEWEST,
    PREVIOUS,
    STATISTICS,
    TRAINED,
    PreviousSpanStatisticsStrategy,
    SpanSelectionStrategy,
)
from pipeline.config.recipe import Recipe


def newest_spans(recipe: Recipe, examples: BaseChannel) -> BaseNode:
    """Resolves the spans to train on, the newest one, and those that models are evaluated on."""
    return Resolver(
        strategy_class=SpanSelectionStrategy,
        config={
            'test_window': recipe.data.test_window,
            'min_test_images': recipe.data.min_test_images,
        },
        **dict.fromkeys((TRAINED, NEWEST, EVALUATED), examples),
    ).with_id('newest_spans')


def previous_statistics(statistics_gen: BaseNode) -> BaseNode:
    """Resolves the statistics of the span before the newest one."""
    return Resolver(
        strategy_class=PreviousSpanStatisticsStrategy,
        **{
            STATISTICS: statistics_gen.outputs['statistics'],
            PREVIOUS: Channel(type=standard_artifacts.ExampleStatistics),
        },
    ).with_id(PREVIOUS)


def live_model(recipe: Recipe, node_id: str, candidate: BaseChannel | None = None) -> BaseNode:
    """Resolves the live model, if it is not the candidate."""
    return Resolver(
        strategy_class=LiveModelStrategy,
        config={
            'serving': uri_of(recipe.serving_directory),
            'pipeline': recipe.name,
            'artifacts': uri_of(recipe.artifacts_directory),
        },
        model=Channel(type=standard_artifacts.Model),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        **({CANDIDATE: candidate} if candidate else {}),
    ).with_id(node_id)


def anchor_model(baseline: BaseNode) -> BaseNode:
    """Resolves the best model so far, if it is not the baseline."""
    return Resolver(
        strategy_class=AnchorModelStrategy,
        model=Channel(type=standard_artifacts.Model),
        model_blessing=baseline.outputs[MODEL_BLESSING],
    ).with_id('anchor_resolver')
