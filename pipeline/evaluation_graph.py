"""The nodes after the Trainer: evaluation, serving checks, ModelGate, Pusher, inference."""

import datetime
import json
from typing import NamedTuple

from tfx.components import BulkInferrer, Evaluator
from tfx.dsl.components.base.base_node import BaseNode
from tfx.types.channel import BaseChannel

from components.evaluation.gate.component import ModelGate
from components.evaluation.held_out.component import HeldOutFilter
from components.evaluation.metrics.classifier_metrics import ClassifierMetrics, eval_config
from components.evaluation.metrics.slices import custom_extractors
from components.evaluation.robustness.component import RobustnessEvaluator
from components.image_example_gen.component import EXAMPLES
from components.inference.folder_inferrer import FolderInferrer
from components.inference.unlabelled_example_gen import UnlabelledExampleGen
from components.lite_converter.component import LiteConverter
from components.pusher.component import LITE_MODEL, Pusher
from components.serving_check.component import PROBE, ServingCheck
from pipeline.cache_key import code_of
from pipeline.config.recipe import Recipe


class Spans(NamedTuple):
    """Channels of Examples."""

    all: BaseChannel  # all spans of the window, for training
    newest: BaseChannel  # the newest span
    evaluated: BaseChannel  # the spans whose test splits models are evaluated on


def evaluate_and_push(
    recipe: Recipe,
    classes: tuple[str, ...],
    spans: Spans,
    transform: BaseNode,
    trainer: BaseNode,
    baseline: BaseNode,
) -> list[BaseNode]:
    """Creates all nodes after the Trainer, in topological order.

    `classes` are in label order; `baseline` is the resolver of the last blessed model.
    """
    held_out = HeldOutFilter(  # the test images that no model was trained on
        examples=spans.evaluated,
        model=trainer.outputs['model'],
        baseline_model=baseline.outputs['model'],
        classes=json.dumps(classes),
        near_distance=recipe.data.checks.near_distance,
        code=code_of(HeldOutFilter),
    )
    evaluator = _evaluator(recipe, classes, spans.evaluated, trainer, baseline)
    robustness = RobustnessEvaluator(  # evaluates single images, which TFMA cannot
        examples=spans.evaluated,
        model=trainer.outputs['model'],
        config=recipe.evaluation.robustness.model_dump_json(),
        code=code_of(RobustnessEvaluator),
    )
    serving_check = ServingCheck(
        model=trainer.outputs['model'],
        serving_check=recipe.serving_check.model_dump_json(),
        code=code_of(ServingCheck, PROBE),
    )
    lite = _lite_converter(recipe, spans.newest, transform, trainer)
    gate = ModelGate(  # blesses the candidate if no rule of the recipe rejects it
        model=trainer.outputs['model'],
        evaluation=evaluator.outputs['evaluation'],
        infra_blessing=serving_check.outputs['infra_blessing'],
        baseline_model=baseline.outputs['model'],
        config=recipe.evaluation.model_dump_json(),
        classes=json.dumps(classes),
        threshold=recipe.trainer.threshold,
        code=code_of(ModelGate),
    )
    pusher = _pusher(recipe, spans.all, trainer, evaluator, lite, gate)
    pusher.add_upstream_node(robustness)  # on Kubeflow the Pusher's task writes the report
    nodes = (held_out, evaluator, robustness, serving_check, lite, gate, pusher)
    inference = _inference(recipe, trainer, gate)
    return [*(node for node in nodes if node is not None), *inference]


def _evaluator(
    recipe: Recipe,
    classes: tuple[str, ...],
    examples: BaseChannel,
    trainer: BaseNode,
    baseline: BaseNode,
) -> BaseNode:
    """Evaluates the candidate and the last blessed model on the same images."""
    return Evaluator(
        examples=examples,
        model=trainer.outputs['model'],
        baseline_model=baseline.outputs['model'],
        eval_config=eval_config(
            classes, recipe.trainer.threshold, code_of(custom_extractors, ClassifierMetrics)
        ),
        example_splits=['test'],
        module_path=custom_extractors.__module__,
    )


def _lite_converter(
    recipe: Recipe, examples: BaseChannel, transform: BaseNode, trainer: BaseNode
) -> BaseNode | None:
    """Converts the model to TensorFlow Lite, if the recipe has `lite`."""
    if recipe.lite is None:
        return None
    return LiteConverter(
        model=trainer.outputs['model'],
        examples=examples,
        transform_graph=transform.outputs['transform_graph'],
        lite=recipe.lite.model_dump_json(),
        threshold=recipe.trainer.threshold,
        code=code_of(LiteConverter),
    )


def _pusher(
    recipe: Recipe,
    examples: BaseChannel,
    trainer: BaseNode,
    evaluator: BaseNode,
    lite: BaseNode | None,
    gate: BaseNode,
) -> BaseNode:
    return Pusher(
        model=trainer.outputs['model'],
        model_blessing=gate.outputs['blessing'],
        examples=examples,
        evaluation=evaluator.outputs['evaluation'],
        lite_model=lite.outputs[LITE_MODEL] if lite else None,
        recipe=recipe.name,
        serving=str(recipe.serving_directory),
        keep=recipe.push.keep,
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
