"""The nodes that check that a model serves, and make smaller ones of it."""

from tfx.components import InfraValidator
from tfx.dsl.components.base.base_node import BaseNode
from tfx.proto import infra_validator_pb2
from tfx.types.channel import BaseChannel

from common import features
from components.lite_converter.component import LiteConverter
from components.lite_converter.config import LiteConfig
from components.serving_check.component import ServingCheck
from components.serving_check.config import InfraValidatorConfig
from pipeline.config.recipe import Recipe

MODEL_NAME = 'catdog'  # by which the server of the InfraValidator knows the model


def serving_check(recipe: Recipe, model: BaseChannel) -> BaseNode:
    """Loads the model in a fresh process and asks it."""
    return ServingCheck(model=model, serving_check=recipe.serving_check.model_dump_json())


def infra_validator(
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
        model_name=MODEL_NAME,
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


def lite_converter(
    config: LiteConfig,
    threshold: float,
    model: BaseChannel,
    examples: BaseChannel,
    transform: BaseNode,
) -> BaseNode:
    """Makes and measures TensorFlow Lite models."""
    return LiteConverter(
        model=model,
        examples=examples,
        transform_graph=transform.outputs['transform_graph'],
        lite=config.model_dump_json(),
        threshold=threshold,
    )
