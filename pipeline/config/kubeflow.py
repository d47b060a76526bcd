"""The `kubeflow:` section of a recipe. Imports neither kfp nor TFX."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from common.strict_model import StrictModel
from pipeline.config.kubeflow_connection import ConnectionConfig

# Kubernetes quantities; YAML reads `cpu: 4` as a number.
Cores = Annotated[str, BeforeValidator(str), Field(pattern=r'^\d+(\.\d+)?m?$')]
Memory = Annotated[str, BeforeValidator(str), Field(pattern=r'^\d+([EPTGMK]i?)?$')]


class TaskConfig(StrictModel):
    """Resources and retries of a component's pod, as Kubernetes quantities such as 500m or 4Gi."""

    cpu: Cores | None = Field(None, description='CPU request')
    cpu_limit: Cores | None = None
    memory: Memory | None = Field(None, description='memory request')
    memory_limit: Memory | None = None
    gpus: int = Field(0, ge=0)
    gpu_type: str = Field('nvidia.com/gpu', description='resource name of the GPUs')
    retries: int = Field(2, ge=0, description='retries of a failed task')
    backoff_seconds: int = Field(
        30, ge=0, description='delay of the first retry; doubles each time'
    )
    node_selector: dict[str, str] = Field(
        default_factory=dict, description='labels of the cluster node'
    )


class VolumeConfig(StrictModel):
    """A volume that is mounted in every pod."""

    claim: str = Field(min_length=1, description='name of a persistent volume claim')
    path: str = Field(pattern='^/', description='mount path')


class SecretConfig(StrictModel):
    """A key of a Kubernetes secret, as an environment variable of every pod."""

    secret: str = Field(min_length=1, description='name of the Kubernetes secret')
    key: str
    env: str = Field(description='name of the environment variable')


class KubeflowConfig(StrictModel):
    """Image, volumes, secrets and resources of the pipeline on Kubeflow Pipelines."""

    image: str = Field('catdog-pipeline:latest', description='image built from deploy/Dockerfile')
    image_pull_policy: Literal['Always', 'IfNotPresent', 'Never'] = 'IfNotPresent'
    image_pull_secrets: tuple[str, ...] = ()
    volumes: tuple[VolumeConfig, ...] = Field(
        (), description='shared by all pods; must hold the pipeline root and the images'
    )
    secrets: tuple[SecretConfig, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    connection: ConnectionConfig = ConnectionConfig()
    tasks: dict[str, TaskConfig] = Field(
        default_factory=dict, description="by component, such as Trainer; 'default' for all others"
    )

    def task(self, node_id: str) -> TaskConfig:
        return self.tasks.get(node_id) or self.tasks.get('default') or TaskConfig()
