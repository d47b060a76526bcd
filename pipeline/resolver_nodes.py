"""Resolver nodes, which find artifacts of earlier runs in ML Metadata."""

from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from common.mirror import uri_of
from components.image_example_gen.image_example_gen import EXAMPLES
from components.resolvers.live_model import CANDIDATE, LiveModelStrategy
from components.resolvers.spans import (
    EVALUATED,
    NEWEST,
    PREVIOUS,
    STATISTICS,
    TRAINED,
    PreviousSpanStatisticsStrategy,
    SpanSelectionStrategy,
)
from components.resolvers.warm_start import WarmStartStrategy
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


def live_model(recipe: Recipe, node_id: str, candidate: BaseChannel) -> BaseNode:
    """Resolves the reference model that a candidate is compared with."""
    return Resolver(
        strategy_class=LiveModelStrategy,
        config=_places(recipe),
        model=Channel(type=standard_artifacts.Model),
        **{CANDIDATE: candidate},
    ).with_id(node_id)


def warm_start(recipe: Recipe, examples: BaseChannel) -> BaseNode:
    """Resolves the model that the training of these examples starts from."""
    return Resolver(
        strategy_class=WarmStartStrategy,
        config={**_places(recipe), 'wanted': recipe.trainer.warm_start},
        model=Channel(type=standard_artifacts.Model),
        **{EXAMPLES: examples},
    ).with_id('warm_start_resolver')


def _places(recipe: Recipe) -> dict[str, str]:
    return {
        'serving': uri_of(recipe.serving_directory),
        'pipeline': recipe.name,
        'artifacts': uri_of(recipe.artifacts_directory),
    }
