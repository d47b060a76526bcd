"""The TFX pipeline: its components and their connections."""

from typing import Any

# `from tfx import v1` would import the Vertex AI client, which takes two seconds.
from tfx.components import (
    ExampleValidator,
    StatisticsGen,
    Trainer,
    Transform,
    Tuner,
)
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_node import BaseNode
from tfx.orchestration.pipeline import Pipeline
from tfx.proto import trainer_pb2, transform_pb2
from tfx.types.channel import BaseChannel

from common import stack
from common.mirror import uri_of
from components.anomaly_gate.component import AnomalyGate
from components.image_example_gen.image_example_gen import EXAMPLES, ImageExampleGen
from components.image_example_gen.sources.spans import open_window
from components.pusher.component import Pusher
from components.resolvers.spans import PREVIOUS
from pipeline.cache_key import code_of, content_hash, file_hash, model_hash
from pipeline.config.beam import beam_args
from pipeline.config.recipe import Recipe
from pipeline.evaluation_graph import Spans, evaluate_and_push
from pipeline.metadata_store import connection_config
from pipeline.resolver_nodes import live_model, newest_spans, previous_statistics, warm_start
from pipeline.schema import statistics_options, write_schema
from trainer.config.train import COLD

# Modules of the functions that components of TFX call; named, as only these components need them.
PREPROCESSING, TRAINING, TUNING = 'trainer.preprocessing', 'trainer.run', 'trainer.training.tuning'
ENTRY = 'components.trainer_module'  # which starts the latter two


def create_pipeline(
    recipe: Recipe,
    classes: tuple[str, ...] | None = None,
    images: int = 0,
    *,
    use_cache: bool = True,
) -> Pipeline:
    """Creates the TFX pipeline of a recipe.

    `classes` are in label order; without them, they and the number of images are read from the
    data. The approximate number of images is for `beam.runner: auto`, which selects a runner by it.
    """
    if classes is None:
        window = open_window(recipe.data)
        classes, images = window[0].source.classes, sum(span.source.count for span in window)
    example_gen = ImageExampleGen(recipe.with_classes(classes).data)
    examples = example_gen.outputs[EXAMPLES]
    newest = newest_spans(recipe, examples) if recipe.data.may_have_spans else None
    spans = Spans(*[newest.outputs[key] if newest else examples for key in Spans._fields])

    statistics_gen = StatisticsGen(examples=spans.newest, stats_options=statistics_options())
    schema_gen = ImportSchemaGen(schema_file=str(write_schema(classes, recipe.home / 'schema')))
    validator = ExampleValidator(
        statistics=statistics_gen.outputs['statistics'], schema=schema_gen.outputs['schema']
    )
    previous = previous_statistics(statistics_gen)
    anomaly_gate = AnomalyGate(  # stops the run on anomalies, drift or skew above the thresholds
        anomalies=validator.outputs['anomalies'],
        statistics=statistics_gen.outputs['statistics'],
        validation=recipe.validation.model_dump_json(),
        **{PREVIOUS: previous.outputs[PREVIOUS]},
    )

    transform = _transform(recipe, spans.trained, schema_gen)

    base = warm_start(recipe, examples) if recipe.trainer.warm_start != COLD else None
    tuner, trainer = _tuner_and_trainer(recipe, classes, spans.trained, transform, base)

    reference = live_model(recipe, 'reference_resolver', trainer.outputs['model'])
    evaluation_nodes = evaluate_and_push(recipe, classes, spans, trainer, reference)
    transform.add_upstream_node(anomaly_gate)

    optional = [example_gen, newest, statistics_gen, schema_gen, validator, previous, anomaly_gate]
    optional += [transform, base, tuner, trainer, reference, *evaluation_nodes]
    nodes = [node for node in optional if node is not None]
    for node in nodes:
        if isinstance(node, BaseComponent) and node is not example_gen:
            _add_to_cache_key(node)
    return Pipeline(
        pipeline_name=recipe.name,
        pipeline_root=uri_of(recipe.artifacts_directory),
        components=nodes,
        enable_cache=use_cache,
        metadata_connection_config=connection_config(recipe.metadata, recipe.home),
        beam_pipeline_args=beam_args(recipe.beam, images),
    )


def _add_to_cache_key(node: BaseComponent) -> None:
    """Adds the libraries, and for a component of this project its code, as exec properties.

    The Pusher always runs.
    """
    node.exec_properties['stack'] = stack.libraries()
    kind = type(node)
    if kind.__module__.startswith('components.') and kind is not Pusher:
        node.exec_properties['code'] = code_of(kind)


def _transform(recipe: Recipe, examples: BaseChannel, schema_gen: BaseNode) -> BaseNode:
    """Writes only the transform graph; images stay encoded until they are read."""
    return Transform(
        examples=examples,
        schema=schema_gen.outputs['schema'],
        preprocessing_fn=f'{PREPROCESSING}.preprocessing_fn',
        splits_config=transform_pb2.SplitsConfig(analyze=['train']),
        materialize=False,
        disable_statistics=True,  # of transformed examples, and there are none
        custom_config={
            'image_size': recipe.trainer.image_size,
            'resize': recipe.trainer.resize,
            'code': code_of(PREPROCESSING),
        },
    )


def _tuner_and_trainer(
    recipe: Recipe,
    classes: tuple[str, ...],
    examples: BaseChannel,
    transform: BaseNode,
    base: BaseNode | None,
) -> tuple[BaseNode | None, BaseNode]:
    """Creates the Trainer, and the Tuner if the recipe has one, with the same inputs."""
    inputs = {
        'examples': examples,
        'transform_graph': transform.outputs['transform_graph'],
        'base_model': base.outputs['model'] if base else None,
        'train_args': trainer_pb2.TrainArgs(splits=['train']),
        'eval_args': trainer_pb2.EvalArgs(splits=['eval']),
    }
    tuner = None
    if recipe.tuner:
        tuner = Tuner(
            tuner_fn=f'{ENTRY}.tuner_fn',
            custom_config={
                **_training_config(recipe, classes, TRAINING, TUNING),
                'tuner': recipe.tuner.model_dump(mode='json'),
            },
            **inputs,
        )
    trainer = Trainer(
        run_fn=f'{ENTRY}.run_fn',
        hyperparameters=tuner.outputs['best_hyperparameters'] if tuner else None,
        custom_config={
            **_training_config(recipe, classes, TRAINING),
            'max_megapixels': recipe.data.checks.max_megapixels,
        },
        **inputs,
    )
    return tuner, trainer


def _training_config(recipe: Recipe, classes: tuple[str, ...], *modules: str) -> dict[str, Any]:
    """Returns the custom_config of the Trainer and the Tuner, which is part of the cache key."""
    group_by = recipe.data.group_by
    return {
        'train': recipe.trainer.model_dump(mode='json'),
        'classes': list(classes),
        'splitting': {
            'data.splits': recipe.data.splits.model_dump(),
            'data.group_by': group_by.model_dump() if group_by else None,
        },
        'serving': uri_of(recipe.serving_directory) if recipe.trainer.fine_tune.auto else '',
        'code': code_of(*modules),
        'pixels': code_of(PREPROCESSING),
        'weights': content_hash(recipe.trainer.weights),
        'warm_start': file_hash(recipe.trainer.warm_start_file),
        'model': model_hash(recipe.trainer.model),
    }
