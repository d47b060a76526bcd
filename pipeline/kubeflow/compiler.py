"""Compiles a recipe to a Kubeflow Pipelines 2 spec of seven container tasks."""

import inspect
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import kfp.compiler
from kfp import dsl, kubernetes

from common import mirror
from common.errors import ConfigError
from common.mirror import uri_of
from components.image_example_gen.sources.base.data_config import DATA_URL
from pipeline.config.kubeflow import NODE_TASKS, KubeflowConfig, TaskConfig, TaskName
from pipeline.config.metadata_config import SQLITE
from pipeline.config.recipe import Recipe
from pipeline.kubeflow.run_inputs import escape_placeholders

_COMMAND = ['python', '-m', 'pipeline.kubeflow.task']
_TYPES = {'overrides': list, 'only_when_new': bool}  # of inputs that are not strings
# Inputs of the tasks with nodes, and the outputs of the first task that they take.
_DECIDED = {'recipe': 'merged_recipe', 'classes': 'classes', 'images': 'images'}
_DECIDE_OUTPUTS = {name: dsl.OutputPath(str) for name in ('train', *_DECIDED.values())}
_PUSH_OUTPUTS = {'metrics': dsl.Output[dsl.Metrics], 'report': dsl.Output[dsl.HTML]}
# Argo counts it from the first attempt, and also ends an attempt then. kfp's setter allows an hour.
_RETRY_DAYS = 30
_SCRATCH = '/scratch'  # mount path of the local disk of a pod that mirrors object storage
_GPU = 'nvidia.com/gpu'


def compile_kubeflow(recipe: Recipe) -> str:
    """Returns the spec of a recipe as YAML, for open-source Kubeflow Pipelines 2.

    Each task runs its nodes with TFX's launcher (`pipeline.kubeflow.nodes`), so that resolvers,
    spans and caching work as they do locally; Kubeflow's caching is disabled. A run may override
    the parameters of the pipeline.

    Raises:
        ConfigError: no secret of the cluster has the credentials of `data.url`, or
            `kubeflow.storage` does not fit `workdir`.
    """
    _check_storage(recipe)
    if recipe.data.has_secrets and DATA_URL not in (each.env for each in recipe.kubeflow.secrets):
        raise ConfigError(
            'data.url has a user name, a password or a query, which a compiled pipeline does not '
            f'contain: put the complete URL into a Kubernetes secret, and add it to '
            f'kubeflow.secrets with env: {DATA_URL}'
        )
    pipeline = _pipeline(recipe)
    for component in pipeline.pipeline_spec.components.values():
        for task in component.dag.tasks.values():
            if task.HasField('retry_policy'):
                task.retry_policy.backoff_max_duration.FromTimedelta(timedelta(days=_RETRY_DAYS))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'pipeline.yaml')
        kfp.compiler.Compiler().compile(pipeline, str(file))
        return file.read_text(encoding='utf-8')


def _check_storage(recipe: Recipe) -> None:
    """Raises ConfigError if `kubeflow.storage`, `workdir` and `metadata` do not fit."""
    if recipe.is_remote != (recipe.kubeflow.storage == 'object'):
        raise ConfigError(
            f'kubeflow.storage is {recipe.kubeflow.storage}, but workdir is '
            f'{uri_of(recipe.workdir)}'
        )
    if recipe.is_remote and recipe.metadata.address == SQLITE:
        raise ConfigError(
            'metadata.address is sqlite, which is a file; with kubeflow.storage: object use MySQL, '
            'or gRPC such as that of Kubeflow Pipelines'
        )


def _pipeline(config: Recipe) -> dsl.base_component.BaseComponent:
    """Creates the pipeline; its defaults are the values of the recipe."""
    # On one line, because kfp also writes it into a comment.
    embedded = config.as_json()

    @dsl.pipeline(name=config.name, description=config.description.replace('{{', '{ {'))
    def pipeline(
        recipe: str = escape_placeholders(embedded),
        overrides: list = [],  # noqa: B006 - kfp copies it
        only_when_new: bool = False,
    ) -> None:
        run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        inputs: dict[str, Any] = {'recipe': recipe, 'overrides': overrides, 'run_id': run_id}
        with dsl.ExitHandler(_task('finish', config.kubeflow, inputs)):
            conditions = inputs | {'only_when_new': only_when_new}
            decide = _task('decide', config.kubeflow, conditions, _DECIDE_OUTPUTS)
            decided = {name: decide.outputs[output] for name, output in _DECIDED.items()}
            with dsl.If(decide.outputs['train'] == 'true', name='when-needed'):
                tasks: list[dsl.PipelineTask] = []
                for name in NODE_TASKS:
                    outputs = _PUSH_OUTPUTS if name == 'push' else {}
                    task = _task(name, config.kubeflow, decided | {'run_id': run_id}, outputs)
                    tasks.append(task.after(*tasks[-1:]))

    return pipeline


def _task(
    name: TaskName,
    config: KubeflowConfig,
    inputs: dict[str, Any],
    outputs: dict[str, Any] | None = None,
) -> dsl.PipelineTask:
    """Adds a task that passes Kubeflow's ExecutorInput to `pipeline.kubeflow.task`.

    kfp requires the types of inputs and outputs.
    """
    task_config = config.task(name)
    types = {key: _TYPES.get(key, str) for key in inputs} | (outputs or {})

    def container(*values: Any) -> dsl.ContainerSpec:
        args: list[Any] = ['--retries', str(task_config.retries)]
        args += ['--backoff', str(task_config.backoff_seconds)]
        args += ['--timeout', str(task_config.timeout_seconds)]
        args += [name, dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER]
        if task_config.gpus:
            args += ['--gpus', str(task_config.gpus)]
        if 'report' in types:
            args += ['--report', values[-1].path]
        image = task_config.image or config.image
        return dsl.ContainerSpec(image=image, command=_COMMAND, args=args)

    container.__name__ = name
    container.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation)
            for key, annotation in types.items()
        ],
        return_annotation=dsl.ContainerSpec,
    )
    task = dsl.container_component(container)(**inputs)
    task.set_display_name(name.replace('_', ' '))
    task.set_caching_options(False)  # TFX has its own cache
    _configure_task(task, task_config)
    if task_config.retries and name in NODE_TASKS:
        # Of lost pods, by platforms that have a policy for them; the task itself repeats errors.
        delay = f'{task_config.backoff_seconds}s'
        task.set_retry(task_config.retries, backoff_duration=delay, backoff_factor=2.0)
    _configure_pod(task, config)
    return task


def _configure_task(task: dsl.PipelineTask, config: TaskConfig) -> None:
    """Applies an entry of `kubeflow.tasks`."""
    for set_quantity, quantity in (
        (task.set_cpu_request, config.cpu),
        (task.set_cpu_limit, config.cpu_limit),
        (task.set_memory_request, config.memory),
        (task.set_memory_limit, config.memory_limit),
    ):
        if quantity:
            set_quantity(quantity)
    if config.gpus:
        task.set_accelerator_type(_GPU).set_accelerator_limit(config.gpus)
    # Of the pod: for what hangs outside of the attempts, such as the download of the image
    attempt = config.timeout_seconds + config.backoff_seconds * 2**config.retries
    kubernetes.set_timeout(task, (1 + config.retries) * attempt)
    for key, value in config.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
    for each in config.tolerations:
        operator = 'Exists' if each.value is None else 'Equal'
        kubernetes.add_toleration(task, each.key, operator, each.value, each.effect)


def _configure_pod(task: dsl.PipelineTask, config: KubeflowConfig) -> None:
    """Applies the keys of `kubeflow` that are the same for all tasks."""
    if config.storage == 'object':
        kubernetes.empty_dir_mount(task, 'scratch', _SCRATCH, size_limit=config.scratch)
        task.set_env_variable(mirror.CACHE, _SCRATCH)
    for volume in config.volumes:
        kubernetes.mount_pvc(task, pvc_name=volume.claim, mount_path=volume.path)
    for secret in config.secrets:
        kubernetes.use_secret_as_env(task, secret.secret, {secret.key: secret.env})
    kubernetes.set_image_pull_policy(task, 'IfNotPresent')
