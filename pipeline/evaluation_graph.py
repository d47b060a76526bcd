"""The nodes after the Trainer: evaluation, serving checks, ModelGate, Pusher, inference."""

import datetime
import json
from typing import NamedTuple

from tfx.dsl.components.base.base_node import BaseNode
from tfx.types.channel import BaseChannel

from common.mirror import uri_of
from components.conversion.converter import CONVERTED_MODELS, Converter
from components.evaluation.gate.component import ModelGate
from components.evaluation.held_out.component import HeldOutFilter
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
    baseline: BaseNode,
    anchor: BaseNode,
) -> list[BaseNode]:
    """Creates all nodes after the Trainer, in topological order.

    `classes` are in label order. `baseline` outputs the live model, `anchor` the best model so far,
    if it is not the live one; each may output none.
    """
    model = trainer.outputs['model']
    others = {'baseline_model': baseline.outputs['model'], 'anchor_model': anchor.outputs['model']}
    # A node for each model: predictions of the live one are cached if only the candidate changes.
    predictor, live_predictor, best_predictor = (
        Predictor(examples=spans.evaluated, model=each).with_id(name)
        for name, each in {
            'Predictor': model,
            'live_predictor': others['baseline_model'],
            'best_predictor': others['anchor_model'],
        }.items()
    )
    predictions = predictor.outputs['predictions']
    held_out = HeldOutFilter(  # the test images that no model was trained on
        examples=spans.evaluated,
        model=model,
        **others,
        near_distance=recipe.data.checks.near_distance,
    )
    evaluator = Evaluator(
        predictions=predictions,
        baseline_predictions=live_predictor.outputs['predictions'],
        anchor_predictions=best_predictor.outputs['predictions'],
        held_out=held_out.outputs['held_out'],
    )
    robustness = RobustnessEvaluator(  # evaluates single images, which TFMA cannot
        examples=spans.evaluated,
        model=model,
        predictions=predictions,
        held_out=held_out.outputs['held_out'],
        config=recipe.evaluation.robustness.model_dump_json(),
        resize=recipe.trainer.resize,
    )
    serving_check = ServingCheck(model=model, seconds=recipe.serving_check.seconds)
    gate = ModelGate(  # blesses the candidate if no rule of the recipe rejects it
        model=model,
        evaluation=evaluator.outputs['evaluation'],
        infra_blessing=serving_check.outputs['infra_blessing'],
        **others,
        config=recipe.evaluation.model_dump_json(),
        classes=json.dumps(classes),
        threshold=recipe.trainer.threshold,
    )
    judged = {'model': model, 'model_blessing': gate.outputs['blessing']}
    converter = _converter(
        recipe,
        **judged,
        examples=spans.trained,
        test_examples=spans.evaluated,
        predictions=predictions,
        held_out=held_out.outputs['held_out'],
    )
    pusher = Pusher(
        **judged,
        baseline_model=others['baseline_model'],
        examples=spans.trained,
        evaluation=evaluator.outputs['evaluation'],
        converted_models=converter.outputs[CONVERTED_MODELS] if converter else None,
        recipe=recipe.name,
        serving=uri_of(recipe.serving_directory),
        keep=recipe.push.keep,
        bucket=recipe.serving_bucket.url if recipe.serving_bucket else '',
        created=datetime.datetime.now().isoformat(),
    )
    pusher.add_upstream_node(robustness)  # on Kubeflow the Pusher's task writes the report
    folder_predictor = _folder_predictor(recipe, **judged)
    if folder_predictor:
        folder_predictor.add_upstream_node(pusher)  # its errors stop no push
    nodes = [predictor, live_predictor, best_predictor, held_out, evaluator, robustness]
    nodes += [serving_check, gate, converter, pusher, folder_predictor]
    return [node for node in nodes if node is not None]


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
