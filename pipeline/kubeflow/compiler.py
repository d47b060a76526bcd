"""Compiles a recipe to a Kubeflow Pipelines 2 spec with one container task per TFX node."""

import errno
import inspect
import os
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import kfp.compiler
from kfp import dsl, kubernetes

from common.errors import ConfigError
from common.files import replacing
from components.image_example_gen.sources.base.data_config import DATA_URL
from pipeline.config.kubeflow import KubeflowConfig, TaskConfig
from pipeline.config.metadata_config import SQLITE, MetadataConfig
from pipeline.config.recipe import Recipe
from pipeline.execution.compilation import compile_pipeline, display_name
from pipeline.graph import create_pipeline
from pipeline.kubeflow.escaping import escape_placeholders
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
_GPU = 'nvidia.com/gpu'


def compile_kubeflow(recipe: Recipe, path: Path) -> tuple[str, ...]:
    """Writes the spec of a recipe as YAML, for open-source Kubeflow Pipelines 2.

    Each task runs its node with TFX's launcher (`pipeline.kubeflow.task`), so that resolvers, spans
    and caching work as they do locally; Kubeflow's caching is disabled. A run may override the
    parameters of the pipeline.

    Returns:
        Warnings about settings that are unsuitable for a cluster, one sentence each.

    Raises:
        ConfigError: the recipe configures a task that the pipeline does not have, no secret of the
            cluster has the credentials of `data.url`, or the file name does not end in .yaml or
            .yml.
        OSError: the file cannot be written.
    """
    if path.suffix not in ('.yaml', '.yml'):
        raise ConfigError(f'{path}: Kubeflow takes YAML; give a name that ends in .yaml')
    if recipe.data.has_secrets and DATA_URL not in (each.env for each in recipe.kubeflow.secrets):
        raise ConfigError(
            'data.url has a user name, a password or a query, which a compiled pipeline does not '
            f'contain: put the complete URL into a Kubernetes secret, and add it to '
            f'kubeflow.secrets with env: {DATA_URL}'
        )
    if not path.parent.is_dir():  # before the slow compilation
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    edges = _edges(recipe)
    unknown = sorted(set(recipe.kubeflow.tasks) - set(edges) - {'default'})
    if unknown:
        raise ConfigError(
            f'kubeflow.tasks: unknown task {unknown[0]}; use default, {", ".join(edges)}'
        )
    pipeline = _pipeline(recipe, edges)
    _lengthen_retries(pipeline)
    with replacing(path) as partial, tempfile.TemporaryDirectory(dir=path.parent) as folder:
        compiled = Path(folder, path.name)  # kfp requires the suffix, which `partial` lacks
        kfp.compiler.Compiler().compile(pipeline, str(compiled))
        compiled.replace(partial)
    return tuple(_warnings(recipe))


def _warnings(recipe: Recipe) -> Iterator[str]:
    """Finds settings that work only on one machine; the pods of a cluster share only volumes."""
    volumes = [Path(volume.path) for volume in recipe.kubeflow.volumes]
    if recipe.metadata.address == SQLITE:
        yield 'metadata.address is sqlite; concurrent pods need MySQL or gRPC.'
    paths = {
        'workdir': recipe.workdir,
        'data.path': recipe.data.path,
        'inference.path': recipe.inference.path if recipe.inference else None,
    }
    for key, path in paths.items():
        if path is not None and not any(path.is_relative_to(volume) for volume in volumes):
            yield f'{key} is {path}, which is not on any of kubeflow.volumes.'


def _edges(recipe: Recipe) -> dict[str, list[str]]:
    """Returns the upstream nodes of each node, in topological order."""
    with tempfile.TemporaryDirectory() as folder:
        places = {'workdir': Path(folder), 'pipeline_root': None, 'push_directory': None}
        local = recipe.model_copy(update={**places, 'metadata': MetadataConfig()})
        ir = compile_pipeline(create_pipeline(local, _ANY_CLASSES, images=0), 'any')
    nodes = [node.pipeline_node for node in ir.nodes]
    return {node.node_info.id: list(node.upstream_nodes) for node in nodes}


def _pipeline(config: Recipe, edges: dict[str, list[str]]) -> dsl.base_component.BaseComponent:
    """Creates the pipeline; its defaults are the values of the recipe.

    A task has no display name if others read its outputs: Kubeflow 2.5 then does not find it.
    """
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
                _add_nodes(config.kubeflow, edges, decided | {'run_id': run_id})

    return pipeline


def _add_nodes(config: KubeflowConfig, edges: dict[str, list[str]], inputs: dict[str, Any]) -> None:
    """Adds a task for each TFX node."""
    tasks: dict[str, dsl.PipelineTask] = {}
    for node_id, upstream in edges.items():
        task = _task(node_id, config, inputs, _PUSHER_OUTPUTS if node_id == PUSHER else {})
        task.set_display_name(display_name(node_id))
        tasks[node_id] = task.after(*(tasks[each] for each in upstream))


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

    kfp requires the types of inputs and outputs. The Pusher's outputs become options with a path.
    """
    task_config = config.task(node_id)

    def node(*values: Any) -> dsl.ContainerSpec:
        args: list[Any] = [node_id, dsl.PIPELINE_TASK_EXECUTOR_INPUT_PLACEHOLDER]
        if task_config.gpus:
            args += ['--gpus', str(task_config.gpus)]
        for name, value in zip(types, values, strict=True):
            if name in _PUSHER_OUTPUTS:
                args += [f'--{name}', value.path]
        image = task_config.image or config.image
        return dsl.ContainerSpec(image=image, command=_COMMAND, args=args)

    types = {name: _TYPES.get(name, str) for name in inputs} | outputs
    node.__name__ = node_id
    node.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation)
            for name, annotation in types.items()
        ],
        return_annotation=dsl.ContainerSpec,
    )
    task = dsl.container_component(node)(**inputs)
    _configure(task, node_id, config)
    return task


def _configure(task: dsl.PipelineTask, node_id: str, config: KubeflowConfig) -> None:
    """Applies the `kubeflow:` section of the recipe to a task."""
    task.set_caching_options(False)  # TFX has its own cache
    _configure_pod(task, config.task(node_id))
    if node_id != DECISION:  # retries temporary errors itself; others are those of the recipe
        _set_retries(task, config.task(node_id))
    for volume in config.volumes:
        kubernetes.mount_pvc(task, pvc_name=volume.claim, mount_path=volume.path)
    for secret in config.secrets:
        kubernetes.use_secret_as_env(task, secret.secret, {secret.key: secret.env})
    kubernetes.set_image_pull_policy(task, 'IfNotPresent')


def _configure_pod(task: dsl.PipelineTask, config: TaskConfig) -> None:
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
        kubernetes.add_toleration(
            task,
            key=each.key,
            operator='Exists' if each.value is None else 'Equal',
            value=each.value,
            effect=each.effect,
        )


def _set_retries(task: dsl.PipelineTask, config: TaskConfig) -> None:
    if config.retries:
        task.set_retry(
            config.retries, backoff_duration=f'{config.backoff_seconds}s', backoff_factor=2.0
        )
