"""What a cluster needs to know: the `kubeflow:` part of a recipe. Imports neither kfp nor TFX."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from common.strict_model import StrictModel
from pipeline.config.kubeflow_connection import ConnectionConfig

# A number is one too: YAML reads `cpu: 4` as such.
Cores = Annotated[str, BeforeValidator(str), Field(pattern=r'^\d+(\.\d+)?m?$')]
Memory = Annotated[str, BeforeValidator(str), Field(pattern=r'^\d+([EPTGMK]i?)?$')]


class TaskConfig(StrictModel):
    """What a component's pod asks for; quantities as Kubernetes writes them, as in 500m or 4Gi."""

    cpu: Cores | None = Field(None, description='cores that are set aside')
    cpu_limit: Cores | None = None
    memory: Memory | None = Field(None, description='memory that is set aside')
    memory_limit: Memory | None = None
    gpus: int = Field(0, ge=0)
    gpu_type: str = Field('nvidia.com/gpu', description='resource that counts the GPUs')
    retries: int = Field(2, ge=0, description='how often the task is started again when it fails')
    backoff_seconds: int = Field(30, ge=0, description='wait before the first; doubles each time')
    node_selector: dict[str, str] = Field(
        default_factory=dict, description='labels that the node must have'
    )


class VolumeConfig(StrictModel):
    """A volume in every pod."""

    claim: str = Field(min_length=1, description='name of a persistent volume claim')
    path: str = Field(pattern='^/', description='where it is seen')


class SecretConfig(StrictModel):
    """A value that no file holds, given to every pod in an environment variable."""

    secret: str = Field(min_length=1, description='name of the Kubernetes secret')
    key: str
    env: str = Field(description='name of the environment variable')


class KubeflowConfig(StrictModel):
    """How the pipeline runs on Kubeflow Pipelines."""

    image: str = Field('catdog-pipeline:latest', description='image that deploy/Dockerfile makes')
    image_pull_policy: Literal['Always', 'IfNotPresent', 'Never'] = 'IfNotPresent'
    image_pull_secrets: tuple[str, ...] = ()
    volumes: tuple[VolumeConfig, ...] = Field(
        (), description='the pipeline root and the images must lie on volumes that all pods share'
    )
    secrets: tuple[SecretConfig, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    connection: ConnectionConfig = ConnectionConfig()
    tasks: dict[str, TaskConfig] = Field(
        default_factory=dict, description="by component, as in Trainer; 'default' is for all others"
    )

    def task(self, node_id: str) -> TaskConfig:
        return self.tasks.get(node_id) or self.tasks.get('default') or TaskConfig()
