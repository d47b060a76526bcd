"""The pipeline: the components and how they are connected."""

from pathlib import Path
from typing import Any

# Not `from tfx import v1`: it brings in the Vertex AI client, which takes two seconds.
from tfx.components import (
    ExampleValidator,
    ImportExampleGen,
    StatisticsGen,
    Trainer,
    Transform,
    Tuner,
)
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver, ResolverStrategy
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2, transform_pb2
from tfx.types import standard_artifacts
from tfx.types.channel import BaseChannel, Channel

from components.anomaly_gate.component import AnomalyGate
from components.image_example_gen.component import EXAMPLES, ImageExampleGen
from components.image_example_gen.import_component import ImportCanonicalExamples
from components.resolvers.blessed_model import CANDIDATE, LatestOtherBlessedModelStrategy
from components.resolvers.newest_spans import NewestSpansStrategy
from components.resolvers.previous_statistics import (
    PREVIOUS,
    STATISTICS,
    PreviousSpanStatisticsStrategy,
)
from pipeline.cache_key import code_hash, content_hash
from pipeline.config.beam import beam_args
from pipeline.config.recipe import Recipe
from pipeline.evaluation_graph import Spans, judge_and_push
from pipeline.metadata_store import connection
from pipeline.schema import statistics_options, write_schema
from trainer.preprocessing import preprocessing_fn
from trainer.run import run_fn, tuner_fn

_NEWEST, _JUDGED = 'newest', 'judged'


def create_pipeline(
    recipe: Recipe,
    classes: tuple[str, ...],
    images: int,
    blessed: type[ResolverStrategy] = LatestOtherBlessedModelStrategy,
) -> Pipeline:
    """Connects the components as a recipe says.

    Args:
        recipe: what to run.
        classes: names in the order of their labels, as the source of the images has them.
        images: how many there are, about; it decides where Beam runs.
        blessed: finds the model that was blessed last, for runners that do not know ours.
    """
    ingest = _ingest(recipe)
    examples = ingest.outputs[EXAMPLES]
    newest = _newest_spans(recipe, examples) if recipe.data.several_spans else None
    spans = _spans(examples, newest)
    schema_gen = ImportSchemaGen(schema_file=str(write_schema(classes, recipe.home / 'schema')))
    statistics_gen = StatisticsGen(examples=spans.newest, stats_options=statistics_options())
    validator = ExampleValidator(
        statistics=statistics_gen.outputs['statistics'], schema=schema_gen.outputs['schema']
    )
    ours = blessed is LatestOtherBlessedModelStrategy
    previous = _previous_statistics(statistics_gen) if ours else None
    gate = _gate(recipe, validator, statistics_gen, previous)
    transform = _transform(recipe, examples, schema_gen)
    transform.add_upstream_node(gate)
    before = _blessed_model('warm_start_resolver', blessed) if recipe.trainer.warm_start else None
    tuner = _tuner(recipe, classes, examples, transform, before) if recipe.tuner else None
    trainer_node = _trainer(recipe, classes, examples, transform, before, tuner)
    resolver = _blessed_model('baseline_resolver', blessed, trainer_node)
    judging = judge_and_push(recipe, classes, spans, transform, trainer_node, resolver)
    return Pipeline(
        pipeline_name=recipe.name,
        pipeline_root=str(recipe.artifacts_directory),
        components=[
            *filter(None, (ingest, newest)),
            statistics_gen,
            schema_gen,
            validator,
            *filter(None, (previous,)),
            gate,
            transform,
            *filter(None, (before, tuner)),
            trainer_node,
            resolver,
            *judging,
        ],
        enable_cache=True,
        metadata_connection_config=connection(recipe.metadata, recipe.home),
        beam_pipeline_args=beam_args(recipe.beam, images),
    )


def _ingest(recipe: Recipe) -> BaseNode:
    """Makes records of images; those that are canonical already are taken over."""
    if recipe.data.source != 'canonical':
        return ImageExampleGen(recipe.data)
    # Without a path the first look at the data says so; a cluster is told it when a run begins.
    path = recipe.data.path or Path()
    return ImportCanonicalExamples(path).with_id(ImportExampleGen.__name__)


def _newest_spans(recipe: Recipe, examples: BaseChannel) -> BaseNode:
    """The newest span, whose statistics are checked, and those that a model is judged on."""
    counts = {_NEWEST: 1, _JUDGED: recipe.data.test_window}
    return Resolver(
        strategy_class=NewestSpansStrategy,
        config={'counts': counts},
        **dict.fromkeys(counts, examples),
    ).with_id('newest_spans')


def _spans(examples: BaseChannel, newest: BaseNode | None) -> Spans:
    if newest is None:
        return Spans(examples, examples, examples)
    return Spans(examples, newest.outputs[_NEWEST], newest.outputs[_JUDGED])


def _previous_statistics(statistics_gen: BaseNode) -> BaseNode:
    """Those of the span before the newest; none if no run has seen it."""
    return Resolver(
        strategy_class=PreviousSpanStatisticsStrategy,
        **{
            STATISTICS: statistics_gen.outputs['statistics'],
            PREVIOUS: Channel(type=standard_artifacts.ExampleStatistics),
        },
    ).with_id(PREVIOUS)


def _gate(
    recipe: Recipe, validator: BaseNode, statistics_gen: BaseNode, previous: BaseNode | None
) -> BaseNode:
    """Lets through what fits the schema and did not move too far."""
    return AnomalyGate(
        anomalies=validator.outputs['anomalies'],
        statistics=statistics_gen.outputs['statistics'],
        validation=recipe.validation.model_dump_json(),
        **({PREVIOUS: previous.outputs[PREVIOUS]} if previous else {}),
    )


def _transform(recipe: Recipe, examples: BaseChannel, schema_gen: BaseNode) -> BaseNode:
    """Writes the graph only: images stay encoded, and are decoded where they are used."""
    return Transform(
        examples=examples,
        schema=schema_gen.outputs['schema'],
        preprocessing_fn=_dotted(preprocessing_fn),
        splits_config=transform_pb2.SplitsConfig(analyze=['train']),
        materialize=False,
        disable_statistics=True,  # StatisticsGen has them; nothing is transformed here
        custom_config={'image_size': recipe.trainer.image_size, 'code': code_hash()},
    )


def _tuner(
    recipe: Recipe,
    classes: tuple[str, ...],
    examples: BaseChannel,
    transform: BaseNode,
    before: BaseNode | None,
) -> BaseNode:
    assert recipe.tuner is not None
    return Tuner(
        tuner_fn=_dotted(tuner_fn),
        examples=examples,
        transform_graph=transform.outputs['transform_graph'],
        base_model=before.outputs['model'] if before else None,
        train_args=trainer_pb2.TrainArgs(splits=['train']),
        eval_args=trainer_pb2.EvalArgs(splits=['eval']),
        custom_config={
            **_training(recipe, classes),
            'tuner': recipe.tuner.model_dump(mode='json'),
        },
    )


def _trainer(
    recipe: Recipe,
    classes: tuple[str, ...],
    examples: BaseChannel,
    transform: BaseNode,
    before: BaseNode | None,
    tuner: BaseNode | None,
) -> BaseNode:
    return Trainer(
        run_fn=_dotted(run_fn),
        examples=examples,
        transform_graph=transform.outputs['transform_graph'],
        base_model=before.outputs['model'] if before else None,
        hyperparameters=tuner.outputs['best_hyperparameters'] if tuner else None,
        train_args=trainer_pb2.TrainArgs(splits=['train']),
        eval_args=trainer_pb2.EvalArgs(splits=['eval']),
        custom_config=_training(recipe, classes),
    )


def _training(recipe: Recipe, classes: tuple[str, ...]) -> dict[str, Any]:
    """What a training depends on besides its data; a cached one counts while this is the same."""
    return {
        'train': recipe.trainer.model_dump(mode='json'),
        'classes': list(classes),
        'code': code_hash(),
        'weights': content_hash(recipe.trainer.weights),
    }


def _blessed_model(
    node_id: str, strategy: type[ResolverStrategy], candidate: BaseNode | None = None
) -> BaseNode:
    """The model that was blessed last; if there is a candidate, another than that."""
    ours = strategy is LatestOtherBlessedModelStrategy
    others = {CANDIDATE: candidate.outputs['model']} if candidate and ours else {}
    return Resolver(
        strategy_class=strategy,
        model=Channel(type=standard_artifacts.Model),
        model_blessing=Channel(type=standard_artifacts.ModelBlessing),
        **others,
    ).with_id(node_id)


def _dotted(function: object) -> str:
    return f'{function.__module__}.{function.__qualname__}'  # type: ignore[attr-defined]
