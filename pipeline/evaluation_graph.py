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
    examples = {'examples': spans.evaluated, 'near_distance': recipe.data.checks.near_distance}
    predictor = Predictor(**examples, model=model, reference_model=reference_model)
    # Cached if only the candidate changes.
    reference_predictor = Predictor(**examples, model=reference_model).with_id(
        'reference_predictor'
    )
    predictions = {
        'predictions': predictor.outputs['predictions'],
        'reference_predictions': reference_predictor.outputs['predictions'],
    }
    gate_config = recipe.evaluation.model_dump_json()
    evaluator = Evaluator(**predictions, config=gate_config)
    robustness = RobustnessEvaluator(  # evaluates single images, which TFMA cannot
        **predictions,
        examples=spans.evaluated,
        model=model,
        config=recipe.evaluation.robustness.model_dump_json(),
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
        config=gate_config,
        classes=list(classes),
        threshold=recipe.trainer.threshold,
    )
    judged = {'model': model, 'model_blessing': gate.outputs['blessing']}
    converter: BaseNode | None = None
    folder_predictor: BaseNode | None = None
    if recipe.converter:  # converts a blessed model to other formats
        converter = Converter(
            **judged,
            examples=spans.trained,
            test_examples=spans.evaluated,
            predictions=predictions['predictions'],
            **recipe.converter.model_dump(mode='json'),
            threshold=recipe.trainer.threshold,
            resize=recipe.trainer.resize,
        )
    pusher = Pusher(
        **judged,
        reference_model=reference_model,
        examples=spans.trained,
        evaluation=evaluator.outputs['evaluation'],
        gate_decision=gate.outputs[GATE_DECISION],
        converted_models=converter.outputs[CONVERTED_MODELS] if converter else None,
        recipe=recipe.name,
        serving=uri_of(recipe.serving_directory),
        keep=recipe.push.keep,
        bucket=uri_of(recipe.serving_bucket) if recipe.serving_bucket else '',
        created=datetime.datetime.now().isoformat(),
    )
    pusher.add_upstream_node(robustness)  # on Kubeflow the Pusher's task writes the report
    if recipe.inference:  # predicts the classes of unlabelled images
        path = str(recipe.inference.path.absolute())
        folder_predictor = FolderPredictor(
            **judged, path=path, checks=recipe.data.checks.model_dump()
        )
        folder_predictor.add_upstream_node(pusher)  # its errors stop no push
    nodes = [predictor, reference_predictor, evaluator, robustness]
    nodes += [serving_check, gate, converter, pusher, folder_predictor]
    return [node for node in nodes if node is not None]
