"""Compiles a recipe to a Kubeflow Pipelines 2 spec with one container task per TFX node."""

import inspect
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import kfp.compiler
from kfp import dsl, kubernetes

from common import mirror
from common.errors import ConfigError
from common.mirror import uri_of
from components.image_example_gen.sources.base.data_config import DATA_URL
from pipeline.config.kubeflow import KubeflowConfig, TaskConfig
from pipeline.config.metadata_config import SQLITE, MetadataConfig
from pipeline.config.recipe import Recipe
from pipeline.execution.launch import display_name
from pipeline.graph import create_pipeline
from pipeline.kubeflow.run_inputs import escape_placeholders
from pipeline.kubeflow.task import DECISION, FINISH
from pipeline.models.provenance import PUSHER

_COMMAND = ['python', '-m', 'pipeline.kubeflow.task']
_TYPES = {'overrides': list, 'only_when_new': bool}  # of inputs that are not strings
# Inputs of the nodes, and the outputs of the decision that they take.
_DECIDED = {'recipe': 'merged_recipe', 'classes': 'classes', 'images': 'images'}
_DECISION_OUTPUTS = {name: dsl.OutputPath(str) for name in ('train', *_DECIDED.values())}
_PUSHER_OUTPUTS = {'verdict': dsl.Output[dsl.Metrics], 'report': dsl.Output[dsl.HTML]}
_ANY_CLASSES = ('a', 'b')  # the graph does not depend on the classes
# Argo counts it from the first attempt, and also ends an attempt then. kfp's setter allows an hour.
_RETRY_DAYS = 30
_SCRATCH = '/scratch'  # mount path of the local disk of a pod that mirrors object storage
_GPU = 'nvidia.com/gpu'


def compile_kubeflow(recipe: Recipe) -> str:
    """Returns the spec of a recipe as YAML, for open-source Kubeflow Pipelines 2.

    Each task runs its node with TFX's launcher (`pipeline.kubeflow.task`), so that resolvers, spans
    and caching work as they do locally; Kubeflow's caching is disabled. A run may override the
    parameters of the pipeline.

    Raises:
        ConfigError: the recipe configures a task that the pipeline does not have, no secret of the
            cluster has the credentials of `data.url`, or `kubeflow.storage` does not fit `workdir`.
    """
    _check_storage(recipe)
    if recipe.data.has_secrets and DATA_URL not in (each.env for each in recipe.kubeflow.secrets):
        raise ConfigError(
            'data.url has a user name, a password or a query, which a compiled pipeline does not '
            f'contain: put the complete URL into a Kubernetes secret, and add it to '
            f'kubeflow.secrets with env: {DATA_URL}'
        )
    with tempfile.TemporaryDirectory() as folder:
        edges = _edges(recipe, Path(folder))
        unknown = sorted(set(recipe.kubeflow.tasks) - set(edges) - {'default'})
        if unknown:
            raise ConfigError(
                f'kubeflow.tasks: unknown task {unknown[0]}; use default, {", ".join(edges)}'
            )
        pipeline = _pipeline(recipe, edges)
        _lengthen_retries(pipeline)
        file = Path(folder, 'pipeline.yaml')
        kfp.compiler.Compiler().compile(pipeline, str(file))
        return file.read_text(encoding='utf-8')


def _check_storage(recipe: Recipe) -> None:
    """Raises ConfigError if `kubeflow.storage`, `workdir` and `metadata` do not fit."""
    if recipe.is_remote != (recipe.kubeflow.storage == 'object'):
        raise ConfigError(
            f'kubeflow.storage is {recipe.kubeflow.storage}, but workdir is '
            f'{uri_of(recipe.workdir)}; object needs s3://BUCKET/PREFIX or gs://BUCKET/PREFIX'
        )
    if recipe.is_remote and recipe.metadata.address == SQLITE:
        raise ConfigError(
            'metadata.address is sqlite, which is a file; with kubeflow.storage: object use MySQL, '
            'or gRPC such as that of Kubeflow Pipelines'
        )


def find_local_settings(recipe: Recipe) -> Iterator[str]:
    """Yields a warning for each setting that suits one machine; pods share only volumes."""
    volumes = [Path(volume.path) for volume in recipe.kubeflow.volumes]
    if recipe.metadata.address == SQLITE:
        yield 'metadata.address is sqlite; concurrent pods need MySQL or gRPC.'
    paths = {
        'workdir': None if recipe.is_remote else recipe.workdir,
        'data.path': recipe.data.path,
        'inference.path': recipe.inference.path if recipe.inference else None,
    }
    for key, path in paths.items():
        if path is not None and not any(path.is_relative_to(volume) for volume in volumes):
            yield f'{key} is {path}, which is not on any of kubeflow.volumes.'


def _edges(recipe: Recipe, folder: Path) -> dict[str, list[str]]:
    """Returns the upstream nodes of each node, in topological order; writes only to `folder`."""
    places = {'workdir': folder, 'pipeline_root': None, 'push_directory': None}
    local = recipe.model_copy(update={**places, 'metadata': MetadataConfig()})
    nodes = create_pipeline(local, _ANY_CLASSES).components
    return {node.id: [each.id for each in node.upstream_nodes] for node in nodes}


def _pipeline(config: Recipe, edges: dict[str, list[str]]) -> dsl.base_component.BaseComponent:
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
        conditions = {
            'only_when_new': only_when_new,
            'optional_nodes': ','.join(config.optional_nodes),
        }
        with dsl.ExitHandler(_task(FINISH, config.kubeflow, inputs, {})):
            decision = _task(DECISION, config.kubeflow, inputs | conditions, _DECISION_OUTPUTS)
            decided = {name: decision.outputs[output] for name, output in _DECIDED.items()}
            with dsl.If(decision.outputs['train'] == 'true', name='train'):
                tasks: dict[str, dsl.PipelineTask] = {}
                for node_id, upstream in edges.items():
                    outputs = _PUSHER_OUTPUTS if node_id == PUSHER else {}
                    task = _task(node_id, config.kubeflow, decided | {'run_id': run_id}, outputs)
                    task.set_display_name(display_name(node_id))
                    tasks[node_id] = task.after(*(tasks[each] for each in upstream))

    return pipeline


def _lengthen_retries(pipeline: dsl.base_component.BaseComponent) -> None:
    """Sets the time within which Argo retries a task."""
    spec = pipeline.pipeline_spec
    for component in (spec.root, *spec.components.values()):
        for task in component.dag.tasks.values():
            if task.HasField('retry_policy'):
                task.retry_policy.backoff_max_duration.FromTimedelta(timedelta(days=_RETRY_DAYS))


def _task(
    node_id: str, config: KubeflowConfig, inputs: dict[str, Any], outputs: dict[str, Any]
) -> dsl.PipelineTask:
    """Adds a task that passes Kubeflow's ExecutorInput to `pipeline.kubeflow.task`.

    kfp requires the types of inputs and outputs.
    """
    task_config = config.task(node_id)
    types = {name: _TYPES.get(name, str) for name in inputs} | outputs

    def node(*values: Any) -> dsl.ContainerSpec:
        args: list[Any] = [node_id, dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER]
        if task_config.gpus:
            args += ['--gpus', str(task_config.gpus)]
        if 'report' in outputs:
            args += ['--report', values[-1].path]
        image = task_config.image or config.image
        return dsl.ContainerSpec(image=image, command=_COMMAND, args=args)

    node.__name__ = node_id
    node.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation)
            for name, annotation in types.items()
        ],
        return_annotation=dsl.ContainerSpec,
    )
    task = dsl.container_component(node)(**inputs)
    task.set_caching_options(False)  # TFX has its own cache
    _configure_task(task, task_config)
    if task_config.retries and node_id != DECISION:  # which retries temporary errors itself
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
    kubernetes.set_timeout(task, config.timeout_seconds)
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
