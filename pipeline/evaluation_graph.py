"""What comes after the Trainer: nodes that measure, check, judge, push and use a model."""

import datetime
import json
from collections.abc import Iterable
from typing import NamedTuple

from tfx.components import BulkInferrer, Evaluator
from tfx.dsl.components.base.base_node import BaseNode
from tfx.types.channel import BaseChannel

from components.evaluation.gate.component import ModelGate
from components.evaluation.metrics.eval_config import eval_config
from components.evaluation.metrics.slices import custom_extractors
from components.evaluation.robustness.component import RobustnessEvaluator
from components.image_example_gen.component import EXAMPLES
from components.inference.folder_inferrer import FolderInferrer
from components.inference.unlabelled_example_gen import UnlabelledExampleGen
from components.pusher.component import LITE_MODEL, Pusher
from components.serving_check.component import ServingCheck
from pipeline.cache_key import code_hash
from pipeline.config.recipe import Recipe
from pipeline.serving_nodes import infra_validator, lite_converter, serving_check

_INFRA_VALIDATOR = 'InfraValidator'


class Spans(NamedTuple):
    """Examples, as channels.

    Attributes:
        all: what the Trainer reads.
        newest: the newest span alone.
        judged: those on whose test split models are compared.
    """

    all: BaseChannel
    newest: BaseChannel
    judged: BaseChannel


def judge_and_push(
    recipe: Recipe,
    classes: tuple[str, ...],
    spans: Spans,
    transform: BaseNode,
    trained: BaseNode,
    resolver: BaseNode,
) -> list[BaseNode]:
    """All that comes after the Trainer, in its order.

    Args:
        recipe: what is wanted.
        classes: names in the order of their labels.
        spans: examples.
        transform: has the graph for preprocessing.
        trained: the Trainer.
        resolver: finds the last blessed model.
    """
    evaluator = _evaluator(recipe, classes, spans.judged, trained, resolver)
    robustness = _robustness(recipe, spans.judged, trained)
    checks = _serving_checks(recipe, spans.newest, transform, trained)
    gate = _model_gate(recipe, classes, trained, resolver, evaluator, checks)
    pusher = _pusher(recipe, spans.all, trained, evaluator, checks, gate)
    pusher.add_upstream_node(robustness)  # on a cluster the Pusher's task writes the page
    return [evaluator, robustness, *checks, gate, pusher, *_inference(recipe, trained, gate)]


def _evaluator(
    recipe: Recipe,
    classes: tuple[str, ...],
    examples: BaseChannel,
    trained: BaseNode,
    resolver: BaseNode,
) -> BaseNode:
    """Measures the candidate, and the model that was blessed before, on the same images."""
    return Evaluator(
        examples=examples,
        model=trained.outputs['model'],
        baseline_model=resolver.outputs['model'],
        eval_config=eval_config(recipe.evaluation, classes, recipe.trainer.threshold),
        example_splits=['test'],
        module_path=custom_extractors.__module__,
    )


def _robustness(recipe: Recipe, examples: BaseChannel, trained: BaseNode) -> BaseNode:
    """Looks at single images, which TFMA does not."""
    return RobustnessEvaluator(
        examples=examples,
        model=trained.outputs['model'],
        config=recipe.evaluation.robustness.model_dump_json(),
        code=code_hash(),
    )


def _serving_checks(
    recipe: Recipe, examples: BaseChannel, transform: BaseNode, trained: BaseNode
) -> list[BaseNode]:
    """Checks that the model serves, in the ways that the recipe asks for."""
    model = trained.outputs['model']
    nodes = [serving_check(recipe, model)]
    if recipe.serving_check.infra_validator:
        nodes.append(infra_validator(recipe.serving_check.infra_validator, model, examples))
    if recipe.lite:
        nodes.append(
            lite_converter(recipe.lite, recipe.trainer.threshold, model, examples, transform)
        )
    return nodes


def _model_gate(
    recipe: Recipe,
    classes: tuple[str, ...],
    trained: BaseNode,
    resolver: BaseNode,
    evaluator: BaseNode,
    checks: Iterable[BaseNode],
) -> BaseNode:
    """Blesses the candidate, or says which rules are against it.

    Args:
        recipe: has the rules.
        classes: names in the order of their labels.
        trained: of the candidate.
        resolver: finds the last blessed model.
        evaluator: measures both.
        checks: the serving check, and maybe TFX's InfraValidator.
    """
    found = {node.id: node.outputs for node in checks}
    validator = found.get(_INFRA_VALIDATOR)
    return ModelGate(
        model=trained.outputs['model'],
        evaluation=evaluator.outputs['evaluation'],
        infra_blessing=found[ServingCheck.__name__]['infra_blessing'],
        **({'infra_validation': validator['blessing']} if validator else {}),
        baseline_model=resolver.outputs['model'],
        config=recipe.evaluation.model_dump_json(),
        classes=json.dumps(classes),
        threshold=recipe.trainer.threshold,
    )


def _pusher(
    recipe: Recipe,
    examples: BaseChannel,
    trained: BaseNode,
    evaluator: BaseNode,
    checks: list[BaseNode],
    gate: BaseNode,
) -> BaseNode:
    lite = (each.outputs[LITE_MODEL] for each in checks if LITE_MODEL in each.outputs)
    return Pusher(
        model=trained.outputs['model'],
        model_blessing=gate.outputs['blessing'],
        examples=examples,
        evaluation=evaluator.outputs['evaluation'],
        lite_model=next(lite, None),
        serving=recipe.serving_directory,
        keep=recipe.push.keep,
        looked=datetime.datetime.now().isoformat(),
    )


def _inference(recipe: Recipe, trained: BaseNode, gate: BaseNode) -> tuple[BaseNode, ...]:
    """Answers for images without labels, if the recipe names any."""
    if recipe.inference is None:
        return ()
    unlabelled = UnlabelledExampleGen(recipe.inference, recipe.data.checks)
    inferrer = FolderInferrer(
        examples=unlabelled.outputs[EXAMPLES],
        model=trained.outputs['model'],
        model_blessing=gate.outputs['blessing'],
    )
    return unlabelled, inferrer.with_id(BulkInferrer.__name__)
