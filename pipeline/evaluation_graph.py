"""The nodes after the Trainer: evaluation, serving checks, ModelGate, Pusher, inference."""

import datetime
from typing import NamedTuple

from tfx.dsl.components.base.base_node import BaseNode
from tfx.types.channel import BaseChannel

from common.mirror import uri_of
from components.conversion.converter import CONVERTED_MODELS, Converter
from components.evaluation.gate.component import ModelGate
from components.evaluation.gate.decision import GATE_DECISION
from components.evaluation.metrics.component import Evaluator
from components.evaluation.predictions.component import Predictor
from components.evaluation.robustness.component import RobustnessEvaluator
from components.inference.folder_predictor import FolderPredictor
from components.pusher.component import Pusher
from components.serving_check.serving_check import ServingCheck
from pipeline.config.recipe import Recipe


class Spans(NamedTuple):
    """Channels of Examples, by output key of the node `newest_spans`."""

    trained: BaseChannel  # the spans of the window
    newest: BaseChannel  # the newest span
    evaluated: BaseChannel  # the spans whose test splits models are evaluated on


def evaluate_and_push(
    recipe: Recipe,
    classes: tuple[str, ...],
    spans: Spans,
    trainer: BaseNode,
    reference: BaseNode,
) -> list[BaseNode]:
    """Creates all nodes after the Trainer, in topological order.

    `classes` are in label order. `reference` outputs the reference model, or none.
    """
    model, reference_model = trainer.outputs['model'], reference.outputs['model']
    predictors = _predictors(recipe, spans.evaluated, model, reference_model)
    predictions = {name: node.outputs['predictions'] for name, node in predictors.items()}
    minimum = recipe.evaluation.model_dump_json(include={'metric', 'minimum'})
    evaluator = Evaluator(**predictions, config=minimum)
    robustness = RobustnessEvaluator(  # evaluates single images, which TFMA cannot
        **predictions,
        examples=spans.evaluated,
        model=model,
        sample_size=recipe.evaluation.robustness.images,
        resize=recipe.trainer.resize,
    )
    serving_check = ServingCheck(model=model, seconds=recipe.serving_check.seconds)
    gate = ModelGate(  # blesses the candidate if no rule of the recipe rejects it
        **predictions,
        model=model,
        model_run=trainer.outputs['model_run'],
        reference_model=reference_model,
        evaluation=evaluator.outputs['evaluation'],
        infra_blessing=serving_check.outputs['infra_blessing'],
        config=recipe.evaluation.model_dump_json(),
        classes=list(classes),
        threshold=recipe.trainer.threshold,
    )
    judged = {'model': model, 'model_blessing': gate.outputs['blessing']}
    converter = _converter(
        recipe,
        **judged,
        examples=spans.trained,
        test_examples=spans.evaluated,
        predictions=predictions['predictions'],
    )
    pusher = _pusher(
        recipe,
        **judged,
        reference_model=reference_model,
        examples=spans.trained,
        evaluation=evaluator.outputs['evaluation'],
        gate_decision=gate.outputs[GATE_DECISION],
        converted_models=converter.outputs[CONVERTED_MODELS] if converter else None,
    )
    pusher.add_upstream_node(robustness)  # on Kubeflow the Pusher's task writes the report
    folder_predictor = _folder_predictor(recipe, **judged)
    if folder_predictor:
        folder_predictor.add_upstream_node(pusher)  # its errors stop no push
    nodes = [*predictors.values(), evaluator, robustness]
    nodes += [serving_check, gate, converter, pusher, folder_predictor]
    return [node for node in nodes if node is not None]


def _predictors(
    recipe: Recipe, examples: BaseChannel, model: BaseChannel, reference_model: BaseChannel
) -> dict[str, BaseNode]:
    """The candidate on the test images, and the reference model, which may come from the cache."""
    given = {'examples': examples, 'near_distance': recipe.data.checks.near_distance}
    reference = Predictor(**given, model=reference_model).with_id('reference_predictor')
    return {
        'predictions': Predictor(**given, model=model, reference_model=reference_model),
        'reference_predictions': reference,
    }


def _pusher(recipe: Recipe, **inputs: BaseChannel | None) -> BaseNode:
    bucket = recipe.serving_bucket
    return Pusher(
        **inputs,
        recipe=recipe.name,
        serving=uri_of(recipe.serving_directory),
        keep=recipe.push.keep,
        bucket=uri_of(bucket) if bucket else '',
        created=datetime.datetime.now().isoformat(),
    )


def _converter(recipe: Recipe, **inputs: BaseChannel) -> BaseNode | None:
    """Converts a blessed model to other formats, if the recipe has `converter`."""
    if recipe.converter is None:
        return None
    keys = recipe.converter.model_dump(mode='json')
    trainer = recipe.trainer
    return Converter(**inputs, **keys, threshold=trainer.threshold, resize=trainer.resize)


def _folder_predictor(recipe: Recipe, **judged: BaseChannel) -> BaseNode | None:
    """Predicts the classes of unlabelled images, if the recipe has `inference`."""
    if recipe.inference is None:
        return None
    path = str(recipe.inference.path.absolute())
    return FolderPredictor(**judged, path=path, checks=recipe.data.checks.model_dump())
