"""Configuration of the serving check: `serving_check:` of a recipe."""

from typing import Literal

from pydantic import Field

from common.strict_model import StrictModel


class InfraValidatorConfig(StrictModel):
    """TFX's InfraValidator: a model server loads the model and serves requests."""

    platform: Literal['docker', 'kubernetes'] = Field(
        description='where the server runs: in local Docker, or in a pod on Kubernetes'
    )
    image: str = Field('tensorflow/serving', description='image of the model server, without a tag')
    tag: str = Field('2.16.1', description='tag of the image; use that of production')
    service_account: str | None = Field(
        None, description='service account of the pod; default: that of the task'
    )
    images: int = Field(3, ge=1, description='test images to request predictions for')
    seconds: int = Field(300, ge=1, description='timeout for loading the model')
    tries: int = Field(2, ge=1)


class ServingCheckConfig(StrictModel):
    """ServingCheck, and optionally InfraValidator."""

    seconds: int = Field(300, ge=1, description='timeout of the serving check')
    infra_validator: InfraValidatorConfig | None = Field(
        None, description="TFX's InfraValidator after the serving check; none: disabled"
    )
