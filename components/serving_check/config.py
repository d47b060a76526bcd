"""How it is checked that a model serves: `serving_check:` of a recipe.

Imports neither TensorFlow nor TFX.
"""

from typing import Literal

from pydantic import Field

from common.strict_model import StrictModel


class InfraValidatorConfig(StrictModel):
    """TFX's InfraValidator: the model server itself loads the model and answers requests."""

    platform: Literal['docker', 'kubernetes'] = Field(
        description='where the server runs: docker beside the run, or a pod beside that of the task'
    )
    image: str = Field('tensorflow/serving', description='of the model server, without a tag')
    tag: str = Field('2.16.1', description='of the image; the one that serves in production')
    service_account: str | None = Field(
        None, description='of the pod on Kubernetes; default: that of the task'
    )
    images: int = Field(3, ge=1, description='of the test split, that it is asked about')
    seconds: int = Field(300, ge=1, description='in which the model must be loaded')
    tries: int = Field(2, ge=1)


class ServingCheckConfig(StrictModel):
    """The check before a push."""

    seconds: int = Field(
        300, ge=1, description='after which a model counts as one that does not answer'
    )
    infra_validator: InfraValidatorConfig | None = Field(
        None, description="TFX's InfraValidator after our check; none: not"
    )
