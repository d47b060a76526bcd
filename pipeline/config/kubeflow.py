"""The `kubeflow:` section of a recipe. Imports neither kfp nor TFX."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from common.errors import KubeflowError
from common.strict_model import StrictModel, Variable
from pipeline.config.addresses import HttpAddress

# Kubernetes quantities; YAML reads `cpu: 4` as a number.
Cores = Annotated[str, BeforeValidator(str), Field(pattern=r'^\d+(\.\d+)?m?$')]
Memory = Annotated[str, BeforeValidator(str), Field(pattern=r'^\d+([EPTGMK]i?)?$')]
DiskSize = Annotated[str, BeforeValidator(str), Field(pattern=r'^[1-9]\d*([EPTGMK]i?)?$')]
# The tasks of a run, in their order; `finish` also runs after a failure.
TaskName = Literal['decide', 'ingest', 'check_data', 'train', 'evaluate', 'push', 'finish']
# Those that run nodes of the graph
NODE_TASKS: tuple[TaskName, ...] = ('ingest', 'check_data', 'train', 'evaluate', 'push')


class ConnectionConfig(StrictModel):
    """Address, credentials and experiment of Kubeflow Pipelines.

    A recipe holds no token, but the name of the environment variable that does.
    """

    host: HttpAddress | None = Field(
        None, description='such as http://localhost:8080 or https://kubeflow.example.com/pipeline'
    )
    namespace: str | None = Field(
        None, description='profile of the user; required if Kubeflow is multi-user'
    )
    token_env: Variable | None = Field(None, description='environment variable with a bearer token')
    ca_certificate: Path | None = Field(
        None, description='PEM file of the certificate authority; default: the public ones'
    )
    experiment: str = Field('Default', min_length=1, description='experiment of the runs')
    cron_timezone: str = Field(
        'UTC', description='time zone of all schedules in the cluster: its cronScheduleTimezone'
    )

    def token(self) -> str | None:
        """Reads the token, if its environment variable is configured.

        Raises:
            KubeflowError: the variable is not set, or is not a valid HTTP header.
        """
        token = os.environ.get(self.token_env or '', '').strip()
        # The error of http.client would show a token that is no header.
        if self.token_env and not (token and token.isascii() and token.isprintable()):
            raise KubeflowError(
                f'token_env: the environment variable {self.token_env} is not set, or has line '
                'breaks or non-ASCII characters'
            )
        return token or None


class TolerationConfig(StrictModel):
    """A taint of cluster nodes that a pod tolerates."""

    key: str = Field(min_length=1, description='key of the taint, such as nvidia.com/gpu')
    value: str | None = Field(None, description='value of the taint; default: any')
    effect: Literal['NoSchedule', 'PreferNoSchedule', 'NoExecute'] | None = Field(
        None, description='effect of the taint; default: any'
    )


class TaskConfig(StrictModel):
    """Resources, retries and placement of a task's pod.

    Resources are Kubernetes quantities such as 500m or 4Gi.
    """

    image: str | None = Field(
        None,
        description='image of this task, such as one built with TENSORFLOW=cuda; default: '
        'kubeflow.image',
    )
    cpu: Cores | None = Field(None, description='CPU request')
    cpu_limit: Cores | None = Field(None, description='CPU limit; default: none')
    memory: Memory | None = Field(None, description='memory request')
    memory_limit: Memory | None = Field(None, description='memory limit; default: none')
    gpus: int = Field(0, ge=0, description='number of reserved GPUs of NVIDIA')
    retries: int = Field(2, ge=0, le=10, description='retries of a failed task')
    backoff_seconds: int = Field(
        30, ge=0, le=86_400, description='delay of the first retry; doubles each time'
    )
    timeout_seconds: int = Field(
        86_400, ge=1, description='an attempt that takes longer fails, and is retried'
    )
    node_selector: dict[str, str] = Field(
        default_factory=dict, description='labels of the cluster node'
    )
    tolerations: tuple[TolerationConfig, ...] = Field(
        (), description='taints of cluster nodes, such as those with GPUs, that the pod tolerates'
    )


class VolumeConfig(StrictModel):
    """A volume that is mounted in every pod."""

    claim: str = Field(min_length=1, description='name of a persistent volume claim')
    path: str = Field(pattern='^/', description='mount path')


class SecretConfig(StrictModel):
    """A key of a Kubernetes secret, as an environment variable of every pod."""

    secret: str = Field(min_length=1, description='name of the Kubernetes secret')
    key: str = Field(description='key in the secret')
    env: Variable = Field(description='name of the environment variable')


class KubeflowConfig(StrictModel):
    """Image, volumes, secrets and resources of the pipeline on Kubeflow Pipelines."""

    image: str = Field(
        'catdog-pipeline:latest',
        description='image built from deploy/Dockerfile: name:tag, or name@sha256:digest',
    )
    volumes: tuple[VolumeConfig, ...] = Field(
        (),
        description='shared by all pods; must hold images that are not in a bucket and, with '
        'storage: volume, workdir',
    )
    storage: Literal['volume', 'object'] = Field(
        'volume',
        description='where workdir is: on one of the volumes, or in object storage as '
        's3://BUCKET/PREFIX or gs://BUCKET/PREFIX; no volume is needed then',
    )
    scratch: DiskSize = Field(
        '20Gi',
        description='with storage: object, the most local disk that a pod may use for copies of '
        'artifacts (sizeLimit of an emptyDir)',
    )
    secrets: tuple[SecretConfig, ...] = Field(
        (), description='keys of Kubernetes secrets, as environment variables of every pod'
    )
    connection: ConnectionConfig = ConnectionConfig()
    tasks: dict[Literal[TaskName, 'default'], TaskConfig] = Field(
        default_factory=dict,
        description="by task, such as train; 'default' for all others; they are not merged",
    )

    @model_validator(mode='after')
    def _has_no_placeholders(self) -> 'KubeflowConfig':
        if '{{' in self.model_dump_json(exclude={'connection'}):
            raise ValueError('a value has {{, and Kubeflow would replace {{...}}')
        return self

    def task(self, name: TaskName) -> TaskConfig:
        return self.tasks.get(name) or self.tasks.get('default') or TaskConfig()
