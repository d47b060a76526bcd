"""The nodes after the Trainer: evaluation, serving checks, ModelGate, Pusher, inference."""

import datetime
import json
from typing import NamedTuple

from tfx.components import BulkInferrer
from tfx.dsl.components.base.base_node import BaseNode
from tfx.types.channel import BaseChannel

from components.conversion.lite.component import LITE_MODEL, LiteConverter
from components.conversion.onnx.component import ONNX_MODEL, OnnxConverter
from components.evaluation.gate.component import ModelGate
from components.evaluation.held_out.component import HeldOutFilter
from components.evaluation.metrics.component import Evaluator
from components.evaluation.predictions.component import Predictor
from components.evaluation.robustness.component import RobustnessEvaluator
from components.image_example_gen.image_example_gen import EXAMPLES
from components.inference.folder_inferrer import FolderInferrer
from components.inference.unlabelled_example_gen import UnlabelledExampleGen
from components.pusher.component import Pusher
from components.serving_check.component import PROBE, ServingCheck
from pipeline.cache_key import code_of
from pipeline.config.recipe import Recipe


class Spans(NamedTuple):
    """Channels of Examples, by output key of the node `newest_spans`."""

    trained: BaseChannel  # the spans of the window
    newest: BaseChannel  # the newest span
    evaluated: BaseChannel  # the spans whose test splits models are evaluated on


class Others(NamedTuple):
    """Channels of the models that the candidate is compared with; each may have none."""

    baseline: BaseChannel  # the live model
    anchor: BaseChannel  # the best model so far, if it is not the live one


def evaluate_and_push(
    recipe: Recipe,
    classes: tuple[str, ...],
    spans: Spans,
    transform: BaseNode,
    trainer: BaseNode,
    others: Others,
) -> list[BaseNode]:
    """Creates all nodes after the Trainer, in topological order; `classes` are in label order."""
    predictors = _predictors(spans.evaluated, trainer.outputs['model'], others)
    predictions = predictors[0].outputs['predictions']
    held_out = HeldOutFilter(  # the test images that no model was trained on
        examples=spans.evaluated,
        model=trainer.outputs['model'],
        baseline_model=others.baseline,
        anchor_model=others.anchor,
        classes=json.dumps(classes),
        near_distance=recipe.data.checks.near_distance,
        code=code_of(HeldOutFilter),
    )
    evaluator = Evaluator(
        predictions=predictions,
        baseline_predictions=predictors[1].outputs['predictions'],
        anchor_predictions=predictors[2].outputs['predictions'],
        held_out=held_out.outputs['held_out'],
        classes=json.dumps(classes),
        code=code_of(Evaluator),
    )
    robustness = RobustnessEvaluator(  # evaluates single images, which TFMA cannot
        examples=spans.evaluated,
        model=trainer.outputs['model'],
        predictions=predictions,
        held_out=held_out.outputs['held_out'],
        config=recipe.evaluation.robustness.model_dump_json(),
        code=code_of(RobustnessEvaluator),
    )
    serving_check = ServingCheck(
        model=trainer.outputs['model'],
        serving_check=recipe.serving_check.model_dump_json(),
        code=code_of(ServingCheck, PROBE),
    )
    gate = ModelGate(  # blesses the candidate if no rule of the recipe rejects it
        model=trainer.outputs['model'],
        evaluation=evaluator.outputs['evaluation'],
        infra_blessing=serving_check.outputs['infra_blessing'],
        baseline_model=others.baseline,
        anchor_model=others.anchor,
        config=recipe.evaluation.model_dump_json(),
        classes=json.dumps(classes),
        threshold=recipe.trainer.threshold,
        code=code_of(ModelGate),
    )
    judged = {
        'model': trainer.outputs['model'],
        'model_blessing': gate.outputs['blessing'],
        'test_examples': spans.evaluated,
        'predictions': predictions,
        'held_out': held_out.outputs['held_out'],
    }
    lite = _lite_converter(recipe, transform, examples=spans.newest, **judged)
    onnx = _onnx_converter(recipe, **judged)
    pusher = _pusher(
        recipe,
        lite,
        onnx,
        model=trainer.outputs['model'],
        model_blessing=gate.outputs['blessing'],
        baseline_model=others.baseline,
        examples=spans.trained,
        evaluation=evaluator.outputs['evaluation'],
    )
    pusher.add_upstream_node(robustness)  # on Kubeflow the Pusher's task writes the report
    nodes = (*predictors, held_out, evaluator, robustness, serving_check, gate, lite, onnx, pusher)
    inference = _inference(recipe, trainer, gate)
    return [*(node for node in nodes if node is not None), *inference]


def _predictors(
    examples: BaseChannel, candidate: BaseChannel, others: Others
) -> tuple[BaseNode, BaseNode, BaseNode]:
    """Run the candidate, the live model and the best model so far once on the same images.

    A node for each: the predictions of the live model are cached when only the candidate changes.
    """
    models = {
        'Predictor': candidate,
        'live_predictor': others.baseline,
        'best_predictor': others.anchor,
    }
    first, second, third = (
        Predictor(examples=examples, model=model, code=code_of(Predictor)).with_id(name)
        for name, model in models.items()
    )
    return first, second, third


def _lite_converter(recipe: Recipe, transform: BaseNode, **inputs: BaseChannel) -> BaseNode | None:
    """Converts a blessed model to TensorFlow Lite, if the recipe has `lite`."""
    if recipe.lite is None:
        return None
    return LiteConverter(
        **inputs,
        transform_graph=transform.outputs['transform_graph'],
        lite=recipe.lite.model_dump_json(),
        threshold=recipe.trainer.threshold,
        code=code_of(LiteConverter),
    )


def _onnx_converter(recipe: Recipe, **inputs: BaseChannel) -> BaseNode | None:
    """Converts a blessed model to ONNX, if the recipe has `onnx`."""
    if recipe.onnx is None:
        return None
    return OnnxConverter(
        **inputs,
        onnx=recipe.onnx.model_dump_json(),
        image_size=recipe.trainer.image_size,
        threshold=recipe.trainer.threshold,
        code=code_of(OnnxConverter),
    )


def _pusher(
    recipe: Recipe, lite: BaseNode | None, onnx: BaseNode | None, **inputs: BaseChannel
) -> BaseNode:
    return Pusher(
        **inputs,
        lite_model=lite.outputs[LITE_MODEL] if lite else None,
        onnx_model=onnx.outputs[ONNX_MODEL] if onnx else None,
        recipe=recipe.name,
        serving=str(recipe.serving_directory),
        keep=recipe.push.keep,
        bucket=recipe.push.url or '',
        created=datetime.datetime.now().isoformat(),
    )


def _inference(recipe: Recipe, trainer: BaseNode, gate: BaseNode) -> tuple[BaseNode, ...]:
    """Predicts the classes of unlabelled images, if the recipe has `inference`."""
    if recipe.inference is None:
        return ()
    unlabelled = UnlabelledExampleGen(
        path=str(recipe.inference.path.absolute()),
        checks=recipe.data.checks.model_dump_json(),
        code=code_of(UnlabelledExampleGen),
    )
    inferrer = FolderInferrer(
        examples=unlabelled.outputs[EXAMPLES],
        model=trainer.outputs['model'],
        model_blessing=gate.outputs['blessing'],
        code=code_of(FolderInferrer),
    )
    return unlabelled, inferrer.with_id(BulkInferrer.__name__)
