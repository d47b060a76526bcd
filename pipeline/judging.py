"""The gate, connected to all that has a say in it."""

import json
from collections.abc import Iterable

from tfx.dsl.components.base.base_node import BaseNode

from components.model_gate import ModelGate
from components.serving_check import ServingCheck
from pipeline.config import Recipe

_INFRA_VALIDATOR = 'InfraValidator'


def model_gate(
    recipe: Recipe, classes: tuple[str, ...], trainer_node: BaseNode, resolver: BaseNode,
    evaluator: BaseNode, checks: Iterable[BaseNode],
) -> BaseNode:  # fmt: skip
    """Blesses the candidate, or says which rules are against it.

    Args:
        recipe: has the rules.
        classes: names in the order of their labels.
        trainer_node: of the candidate.
        resolver: finds the last blessed model.
        evaluator: measures both.
        checks: the serving check, and maybe TFX's InfraValidator.
    """
    found = {node.id: node.outputs for node in checks}
    validator = found.get(_INFRA_VALIDATOR)
    return ModelGate(
        model=trainer_node.outputs['model'],
        evaluation=evaluator.outputs['evaluation'],
        infra_blessing=found[ServingCheck.__name__]['infra_blessing'],
        **({'infra_validation': validator['blessing']} if validator else {}),
        baseline_model=resolver.outputs['model'],
        config=recipe.evaluation.model_dump_json(),
        classes=json.dumps(classes),
        threshold=recipe.trainer.threshold,
    )
