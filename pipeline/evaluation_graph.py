"""What comes after the Trainer: nodes that measure, check, judge, push and use a model."""

import datetime
import json
from collections.abc import Iterable
from typing import NamedTuple

from tfx.components import BulkInferrer, Evaluator, InfraValidator
from tfx.dsl.components.base.base_node import BaseNode
from tfx.proto import infra_validator_pb2
from tfx.types.channel import BaseChannel

from common import features
from components.evaluation.gate.component import ModelGate
from components.evaluation.metrics.classifier_metrics import ClassifierMetrics
from components.evaluation.metrics.eval_config import eval_config
from components.evaluation.metrics.slices import custom_extractors
from components.evaluation.robustness.component import RobustnessEvaluator
from components.image_example_gen.component import EXAMPLES
from components.inference.folder_inferrer import FolderInferrer
from components.inference.unlabelled_example_gen import UnlabelledExampleGen
from components.lite_converter.component import LiteConverter
from components.pusher.component import LITE_MODEL, Pusher
from components.serving_check.check import PROBE
from components.serving_check.component import ServingCheck
from components.serving_check.config import InfraValidatorConfig
from pipeline.cache_key import code_of
from pipeline.config.recipe import Recipe

_MODEL_NAME = 'catdog'  # by which the server of the InfraValidator knows the model


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


def evaluate_and_push(
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
        eval_config=eval_config(
            recipe.evaluation,
            classes,
            recipe.trainer.threshold,
            code_of(custom_extractors, ClassifierMetrics),
        ),
        example_splits=['test'],
        module_path=custom_extractors.__module__,
    )


def _robustness(recipe: Recipe, examples: BaseChannel, trained: BaseNode) -> BaseNode:
    """Looks at single images, which TFMA does not."""
    return RobustnessEvaluator(
        examples=examples,
        model=trained.outputs['model'],
        config=recipe.evaluation.robustness.model_dump_json(),
        code=code_of(RobustnessEvaluator),
    )


def _serving_checks(
    recipe: Recipe, examples: BaseChannel, transform: BaseNode, trained: BaseNode
) -> list[BaseNode]:
    """Checks that the model serves, in the ways that the recipe asks for."""
    model = trained.outputs['model']
    nodes = [
        ServingCheck(
            model=model,
            serving_check=recipe.serving_check.model_dump_json(),
            code=code_of(ServingCheck, PROBE),
        )
    ]
    if recipe.serving_check.infra_validator:
        nodes.append(_infra_validator(recipe.serving_check.infra_validator, model, examples))
    if recipe.lite:
        nodes.append(
            LiteConverter(
                model=model,
                examples=examples,
                transform_graph=transform.outputs['transform_graph'],
                lite=recipe.lite.model_dump_json(),
                threshold=recipe.trainer.threshold,
                code=code_of(LiteConverter),
            )
        )
    return nodes


def _infra_validator(
    config: InfraValidatorConfig, model: BaseChannel, examples: BaseChannel
) -> BaseNode:
    """Loads the model in TensorFlow Serving itself, and asks it about images of test."""
    return InfraValidator(
        model=model,
        examples=examples,
        serving_spec=_serving_spec(config),
        validation_spec=infra_validator_pb2.ValidationSpec(
            max_loading_time_seconds=config.seconds, num_tries=config.tries
        ),
        request_spec=infra_validator_pb2.RequestSpec(
            tensorflow_serving=infra_validator_pb2.TensorFlowServingRequestSpec(
                signature_names=[features.SIGNATURE_EXAMPLES]
            ),
            split_name='test',
            num_examples=config.images,
        ),
    )


def _serving_spec(config: InfraValidatorConfig) -> infra_validator_pb2.ServingSpec:
    spec = infra_validator_pb2.ServingSpec(
        tensorflow_serving=infra_validator_pb2.TensorFlowServing(
            image_name=config.image, tags=[config.tag]
        ),
        model_name=_MODEL_NAME,
    )
    if config.platform == 'docker':
        spec.local_docker.SetInParent()
        return spec
    spec.kubernetes.SetInParent()
    # A pod whose task was killed does not stay for a day, as it would by default.
    spec.kubernetes.active_deadline_seconds = 2 * config.seconds
    if config.service_account:
        spec.kubernetes.service_account_name = config.service_account
    return spec


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
    validator = found.get(InfraValidator.__name__)
    return ModelGate(
        model=trained.outputs['model'],
        evaluation=evaluator.outputs['evaluation'],
        infra_blessing=found[ServingCheck.__name__]['infra_blessing'],
        **({'infra_validation': validator['blessing']} if validator else {}),
        baseline_model=resolver.outputs['model'],
        config=recipe.evaluation.model_dump_json(),
        classes=json.dumps(classes),
        threshold=recipe.trainer.threshold,
        code=code_of(ModelGate),
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
    unlabelled = UnlabelledExampleGen(
        recipe.inference, recipe.data.checks, code_of(UnlabelledExampleGen)
    )
    inferrer = FolderInferrer(
        examples=unlabelled.outputs[EXAMPLES],
        model=trained.outputs['model'],
        model_blessing=gate.outputs['blessing'],
        code=code_of(FolderInferrer),
    )
    return unlabelled, inferrer.with_id(BulkInferrer.__name__)
