"""Resolver nodes, which find artifacts of earlier runs in ML Metadata."""

import dataclasses

from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver, ResolverStrategy
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from components.resolvers.blessed_model import CANDIDATE, LatestOtherBlessedModelStrategy
from components.resolvers.spans import (
    PREVIOUS,
    STATISTICS,
    NewestSpansStrategy,
    PreviousSpanStatisticsStrategy,
)
from pipeline.config.recipe import Recipe

NEWEST, EVALUATED = 'newest', 'evaluated'  # output keys of the node newest_spans


@dataclasses.dataclass(frozen=True)
class Resolvers:
    """Resolver strategies that a runner can execute; by default those of this project.

    Attributes:
        blessed_model: finds the last blessed model.
        excludes_candidate: whether `blessed_model` takes the candidate as an input and skips it.
        previous_statistics: finds the statistics of the previous span; None: no drift check.
    """

    blessed_model: type[ResolverStrategy] = LatestOtherBlessedModelStrategy
    excludes_candidate: bool = True
    previous_statistics: type[ResolverStrategy] | None = PreviousSpanStatisticsStrategy


DEFAULT_RESOLVERS = Resolvers()


def newest_spans(recipe: Recipe, examples: BaseChannel) -> BaseNode:
    """Resolves the newest span, for its statistics, and the spans that models are evaluated on."""
    counts = {NEWEST: 1, EVALUATED: recipe.data.test_window}
    return Resolver(
        strategy_class=NewestSpansStrategy,
        config={'counts': counts},
        **dict.fromkeys(counts, examples),
    ).with_id('newest_spans')


def previous_statistics(resolvers: Resolvers, statistics_gen: BaseNode) -> BaseNode | None:
    """Resolves the statistics of the span before the newest one, if the runner supports it."""
    if resolvers.previous_statistics is None:
        return None
    return Resolver(
        strategy_class=resolvers.previous_statistics,
        **{
            STATISTICS: statistics_gen.outputs['statistics'],
            PREVIOUS: Channel(type=standard_artifacts.ExampleStatistics),
        },
    ).with_id(PREVIOUS)


def warm_start_model(resolvers: Resolvers) -> BaseNode:
    """Resolves the last blessed model, whose weights the training starts from."""
    return _blessed_model(resolvers).with_id('warm_start_resolver')


def baseline_model(resolvers: Resolvers, trainer: BaseNode) -> BaseNode:
    """Resolves the last blessed model, without the candidate if the runner supports it."""
    candidate = {CANDIDATE: trainer.outputs['model']} if resolvers.excludes_candidate else {}
    return _blessed_model(resolvers, **candidate).with_id('baseline_resolver')


def _blessed_model(resolvers: Resolvers, **candidate: BaseChannel) -> Resolver:
    return Resolver(
        strategy_class=resolvers.blessed_model,
        model=Channel(type=standard_artifacts.Model),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        **candidate,
    )
