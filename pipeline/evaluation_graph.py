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


def evaluate_and_push(
    recipe: Recipe,
    classes: tuple[str, ...],
    spans: Spans,
    transform: BaseNode,
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
        Predictor(examples=spans.evaluated, model=each, code=code_of(Predictor)).with_id(name)
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
        classes=json.dumps(classes),
        near_distance=recipe.data.checks.near_distance,
        code=code_of(HeldOutFilter),
    )
    evaluator = Evaluator(
        predictions=predictions,
        baseline_predictions=live_predictor.outputs['predictions'],
        anchor_predictions=best_predictor.outputs['predictions'],
        held_out=held_out.outputs['held_out'],
        classes=json.dumps(classes),
        code=code_of(Evaluator),
    )
    robustness = RobustnessEvaluator(  # evaluates single images, which TFMA cannot
        examples=spans.evaluated,
        model=model,
        predictions=predictions,
        held_out=held_out.outputs['held_out'],
        config=recipe.evaluation.robustness.model_dump_json(),
        resize=recipe.trainer.resize,
        code=code_of(RobustnessEvaluator),
    )
    serving_check = ServingCheck(
        model=model,
        serving_check=recipe.serving_check.model_dump_json(),
        code=code_of(ServingCheck, PROBE),
    )
    gate = ModelGate(  # blesses the candidate if no rule of the recipe rejects it
        model=model,
        evaluation=evaluator.outputs['evaluation'],
        infra_blessing=serving_check.outputs['infra_blessing'],
        **others,
        config=recipe.evaluation.model_dump_json(),
        classes=json.dumps(classes),
        threshold=recipe.trainer.threshold,
        code=code_of(ModelGate),
    )
    judged = {'model': model, 'model_blessing': gate.outputs['blessing']}
    tested = {
        'test_examples': spans.evaluated,
        'predictions': predictions,
        'held_out': held_out.outputs['held_out'],
    }
    lite = _lite_converter(recipe, transform, examples=spans.newest, **judged, **tested)
    onnx = _onnx_converter(recipe, **judged, **tested)
    pusher = Pusher(
        **judged,
        baseline_model=others['baseline_model'],
        examples=spans.trained,
        evaluation=evaluator.outputs['evaluation'],
        lite_model=lite.outputs[LITE_MODEL] if lite else None,
        onnx_model=onnx.outputs[ONNX_MODEL] if onnx else None,
        recipe=recipe.name,
        serving=str(recipe.serving_directory),
        keep=recipe.push.keep,
        bucket=recipe.push.url or '',
        created=datetime.datetime.now().isoformat(),
    )
    pusher.add_upstream_node(robustness)  # on Kubeflow the Pusher's task writes the report
    nodes = [predictor, live_predictor, best_predictor, held_out, evaluator, robustness]
    nodes += [serving_check, gate, lite, onnx, pusher, *_inference(recipe, **judged)]
    return [node for node in nodes if node is not None]


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


def _inference(recipe: Recipe, **judged: BaseChannel) -> tuple[BaseNode, ...]:
    """Predicts the classes of unlabelled images, if the recipe has `inference`."""
    if recipe.inference is None:
        return ()
    unlabelled = UnlabelledExampleGen(
        path=str(recipe.inference.path.absolute()),
        checks=recipe.data.checks.model_dump_json(),
        code=code_of(UnlabelledExampleGen),
    )
    inferrer = FolderInferrer(
        examples=unlabelled.outputs[EXAMPLES], **judged, code=code_of(FolderInferrer)
    )
    return unlabelled, inferrer.with_id(BulkInferrer.__name__)
