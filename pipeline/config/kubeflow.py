"""The `kubeflow:` section of a recipe. Imports neither kfp nor TFX."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from common.errors import KubeflowError
from common.strict_model import StrictModel, Variable
from pipeline.config.addresses import HttpAddress

# Kubernetes quantities; YAML reads `cpu: 4` as a number.
Cores = Annotated[str, BeforeValidator(str), Field(pattern=r'^\d+(\.\d+)?m?$')]
Memory = Annotated[str, BeforeValidator(str), Field(pattern=r'^\d+([EPTGMK]i?)?$')]
Image = Annotated[str, Field(pattern=r'^[a-zA-Z0-9][a-zA-Z0-9._/:-]*(@sha256:[0-9a-f]{64})?$')]
# Kubernetes takes more from 1.30 on.
PodVariable = Annotated[str, Field(pattern='^[-._a-zA-Z][-._a-zA-Z0-9]*$')]


class ConnectionConfig(StrictModel):
    """Address, credentials and experiment of Kubeflow Pipelines.

    A recipe holds no secrets, but the names of the environment variables that do.
    """

    host: HttpAddress | None = Field(
        None, description='such as http://localhost:8080 or https://kubeflow.example.com/pipeline'
    )
    namespace: str | None = Field(
        None, description='profile of the user; required if Kubeflow is multi-user'
    )
    token_env: Variable | None = Field(None, description='environment variable with a bearer token')
    cookie_env: Variable | None = Field(
        None, description='environment variable with a cookie, name=value, for Dex'
    )
    verify_ssl: bool = Field(True, description="verify the server's certificate")
    ca_certificate: Path | None = Field(
        None, description='PEM file of the certificate authority; default: the public ones'
    )
    experiment: str = Field('Default', min_length=1, description='experiment of the runs')
    cron_timezone: str = Field(
        'UTC', description='time zone of all schedules in the cluster: its CRON_SCHEDULE_TIMEZONE'
    )

    def secrets(self) -> dict[str, str]:
        """Reads the `token` and the `cookie` whose environment variables are configured.

        Raises:
            KubeflowError: a variable is not set, or is not a valid HTTP header.
        """
        variables = {'token': self.token_env, 'cookie': self.cookie_env}
        return {key: _secret(key, name) for key, name in variables.items() if name}


def _secret(key: str, variable: str) -> str:
    secret = os.environ.get(variable, '').strip()
    # The error of http.client would show a secret that is no header.
    if not (secret and secret.isascii() and secret.isprintable()):
        raise KubeflowError(
            f'{key}_env: the environment variable {variable} is not set, or has line breaks or '
            'non-ASCII characters'
        )
    return secret


class TolerationConfig(StrictModel):
    """A taint of cluster nodes that a pod tolerates."""

    key: str = Field(min_length=1, description='key of the taint, such as nvidia.com/gpu')
    value: str | None = Field(None, description='value of the taint; default: any')
    effect: Literal['NoSchedule', 'PreferNoSchedule', 'NoExecute'] | None = Field(
        None, description='effect of the taint; default: any'
    )


class TaskConfig(StrictModel):
    """Resources, retries and placement of a component's pod.

    Resources are Kubernetes quantities such as 500m or 4Gi.
    """

    image: Image | None = Field(
        None,
        min_length=1,
        description='image of this task, such as one built with TENSORFLOW=cuda; default: '
        'kubeflow.image',
    )
    cpu: Cores | None = Field(None, description='CPU request')
    cpu_limit: Cores | None = Field(None, description='CPU limit; default: none')
    memory: Memory | None = Field(None, description='memory request')
    memory_limit: Memory | None = Field(None, description='memory limit; default: none')
    gpus: int = Field(0, ge=0, description='number of reserved GPUs')
    gpu_type: str = Field('nvidia.com/gpu', description='resource name of the GPUs')
    retries: int = Field(2, ge=0, description='retries of a failed task')
    backoff_seconds: int = Field(
        30, ge=0, description='delay of the first retry; doubles each time'
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
    env: PodVariable = Field(description='name of the environment variable')


class KubeflowConfig(StrictModel):
    """Image, volumes, secrets and resources of the pipeline on Kubeflow Pipelines."""

    image: Image = Field(
        'catdog-pipeline:latest',
        description='image built from deploy/Dockerfile: name:tag, or name@sha256:digest',
    )
    image_pull_policy: Literal['Always', 'IfNotPresent', 'Never'] = Field(
        'IfNotPresent', description='when a cluster node pulls the image'
    )
    image_pull_secrets: tuple[str, ...] = Field(
        (), description='names of Kubernetes secrets for a private registry'
    )
    volumes: tuple[VolumeConfig, ...] = Field(
        (), description='shared by all pods; must hold the pipeline root and the images'
    )
    secrets: tuple[SecretConfig, ...] = Field(
        (), description='keys of Kubernetes secrets, as environment variables of every pod'
    )
    environment: dict[PodVariable, SecretStr] = Field(
        default_factory=dict,
        description='environment variables of every pod, which the compiled pipeline contains; '
        'printed and reported without their values',
    )
    connection: ConnectionConfig = ConnectionConfig()
    tasks: dict[str, TaskConfig] = Field(
        default_factory=dict,
        description="by component, such as Trainer; 'default' for all others; they are not merged",
    )

    @model_validator(mode='after')
    def _has_no_placeholders(self) -> 'KubeflowConfig':
        secrets = [value.get_secret_value() for value in self.environment.values()]
        if '{{' in ''.join([self.model_dump_json(exclude={'connection'}), *secrets]):
            raise ValueError('a value has {{, and Kubeflow would replace {{...}}')
        return self

    def task(self, node_id: str) -> TaskConfig:
        return self.tasks.get(node_id) or self.tasks.get('default') or TaskConfig()
