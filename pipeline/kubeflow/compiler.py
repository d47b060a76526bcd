"""From a recipe to a Kubeflow Pipelines 2 spec: one container task per node of the TFX pipeline."""

import inspect
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kfp.compiler
from kfp import dsl, kubernetes

from common.errors import ConfigError
from pipeline.config.kubeflow import KubeflowConfig, TaskConfig
from pipeline.config.metadata_config import SQLITE, MetadataConfig
from pipeline.config.recipe import Recipe
from pipeline.execution.compilation import compile_pipeline, display_name
from pipeline.graph import create_pipeline
from pipeline.kubeflow.task import DECISION
from pipeline.registry.provenance import PUSHER

_COMMAND = ['python', '-m', 'pipeline.kubeflow.task']
_EXECUTOR_INPUT = '{{$}}'  # what Kubeflow replaces by all that it knows of a task
_GIVEN_TO_ALL = {
    'recipe': str,
    'data_path': str,
    'workdir': str,
    'pipeline_root': str,
    'metadata_address': str,
    'push_directory': str,
    'overrides': list,
    'run_id': str,
}
# What the first task finds out; the data's part of it is given to all others.
_FOUND = {name: dsl.OutputPath(str) for name in ('train', 'classes', 'images')}
_OF_DATA = {'classes': str, 'images': str}
_SHOWN = {'verdict': dsl.Output[dsl.Metrics], 'report': dsl.Output[dsl.HTML]}
_ANY_CLASSES = ('a', 'b')  # the nodes and their edges are the same for all


def compile_kubeflow(recipe: Recipe, path: Path) -> tuple[str, ...]:
    """Writes the spec of a recipe as YAML, for open-source Kubeflow Pipelines 2.

    Each task runs its node with TFX's own launcher (`pipeline.kubeflow.task`), so that resolvers,
    spans and caching do what they do locally; Kubeflow's own caching is off. The pipeline's
    parameters are those of `_parameters`.

    Returns:
        A sentence for each thing in the recipe that a cluster will hardly want.

    Raises:
        ConfigError: the recipe names a task that the pipeline does not have, or the file is not
            named as YAML.
        OSError: the file cannot be written.
    """
    if path.suffix not in ('.yaml', '.yml'):
        raise ConfigError(f'{path}: Kubeflow takes YAML; give a name that ends in .yaml')
    path.touch()  # tells now what cannot be written
    edges = _edges(recipe)
    unknown = sorted(set(recipe.kubeflow.tasks) - set(edges) - {'default'})
    if unknown:
        raise ConfigError(
            f'kubeflow.tasks: there is no {unknown[0]}; choose from default, {", ".join(edges)}'
        )
    kfp.compiler.Compiler().compile(_pipeline(recipe, edges), str(path))
    return tuple(_doubts(recipe))


def _doubts(recipe: Recipe) -> Iterator[str]:
    """What works on one machine, and hardly on a cluster, where pods share volumes alone."""
    volumes = [Path(volume.path) for volume in recipe.kubeflow.volumes]
    if recipe.metadata.address == SQLITE:
        yield 'metadata.address is sqlite; pods that run at once need MySQL or gRPC.'
    paths = {
        'workdir': recipe.workdir,
        'data.path': recipe.data.path,
        'inference.path': recipe.inference.path if recipe.inference else None,
    }
    for key, path in paths.items():
        if path is not None and not any(path.is_relative_to(volume) for volume in volumes):
            yield f'{key} is {path}, which lies on none of kubeflow.volumes.'


def _parameters(recipe: Recipe) -> dict[str, Any]:
    """Defaults of what can be changed for a single run."""
    return {
        'recipe': _as_json(recipe),
        'data_path': str(recipe.data.path or ''),
        'workdir': str(recipe.workdir),
        'pipeline_root': str(recipe.pipeline_root or ''),
        'metadata_address': recipe.metadata.address,
        'push_directory': str(recipe.push_directory or ''),
        'overrides': [],
        'only_when_new': False,
    }


def _as_json(recipe: Recipe) -> str:
    """What the recipe says that is not the default, on one line: kfp puts it into a comment too."""
    return recipe.model_dump_json(exclude={'kubeflow'}, exclude_defaults=True)


def _edges(recipe: Recipe) -> dict[str, list[str]]:
    """The nodes that each node waits for, in the order of the DAG."""
    with tempfile.TemporaryDirectory() as folder:
        here = recipe.model_copy(
            update={
                'workdir': Path(folder),
                'metadata': MetadataConfig(),
                'pipeline_root': None,
                'push_directory': None,
            }
        )
        ir = compile_pipeline(create_pipeline(here, _ANY_CLASSES, images=0), 'any')
    nodes = [node.pipeline_node for node in ir.nodes]
    return {node.node_info.id: list(node.upstream_nodes) for node in nodes}


def _pipeline(recipe: Recipe, edges: dict[str, list[str]]) -> Callable[..., Any]:
    """The function that kfp calls to learn the tasks and their order."""
    config, defaults = recipe.kubeflow, _parameters(recipe)

    def pipeline(*channels: Any) -> None:
        given = dict(zip(defaults, channels, strict=True))
        only_when_new = given.pop('only_when_new')
        given['run_id'] = dsl.PIPELINE_JOB_ID_PLACEHOLDER
        decision = _component(
            DECISION, config.image, only_when_new=bool, optional_nodes=str, **_FOUND
        )(**given, only_when_new=only_when_new, optional_nodes=','.join(recipe.optional_nodes))
        of_data = {name: decision.outputs[name] for name in _OF_DATA}
        _configure(decision, DECISION, 'Anything new?', config)
        with dsl.If(decision.outputs['train'] == 'true', name='train'):
            tasks: dict[str, Any] = {}
            for node_id, upstream in edges.items():
                shown = _SHOWN if node_id == PUSHER else {}  # the last one
                make = _component(node_id, config.image, **_OF_DATA, **shown)
                task = make(**given, **of_data)
                tasks[node_id] = task.after(*(tasks[each] for each in upstream))
                _configure(task, node_id, display_name(node_id), config)

    types = {name: type(default) for name, default in defaults.items()}
    return dsl.pipeline(name=recipe.name, description=recipe.description)(
        _with_signature(pipeline, 'pipeline', types, defaults)
    )


def _component(node_id: str, image: str, **others: Any) -> Callable[..., dsl.PipelineTask]:
    """A container that runs a node; what it is given it gives on as options of the same names.

    Args:
        node_id: as in the TFX pipeline.
        image: the container's.
        others: types of what this node has besides what all have.
    """
    types = {**_GIVEN_TO_ALL, **others}

    def node(*values: Any) -> dsl.ContainerSpec:
        args: list[Any] = [node_id, '--executor-input', _EXECUTOR_INPUT]
        for name, value in zip(types, values, strict=True):
            args += [f'--{name.replace("_", "-")}', getattr(value, 'path', value)]
        return dsl.ContainerSpec(image=image, command=_COMMAND, args=args)

    return dsl.container_component(_with_signature(node, node_id, types, {}))


def _with_signature(
    function: Callable[..., Any], name: str, types: dict[str, Any], defaults: dict[str, Any]
) -> Callable[..., Any]:
    """The function as kfp will see it: it reads names, types and defaults from signatures."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    returned = dsl.ContainerSpec if not defaults else None
    function.__name__ = name
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                each,
                kind,
                annotation=annotation,
                default=defaults.get(each, inspect.Parameter.empty),
            )
            for each, annotation in types.items()
        ],
        return_annotation=returned,
    )
    return function


def _configure(task: dsl.PipelineTask, node_id: str, shown: str, config: KubeflowConfig) -> None:
    """What the `kubeflow:` part of the recipe says about a task."""
    task.set_display_name(shown)
    task.set_caching_options(False)  # TFX's own knows what has changed
    _ask_for(task, config.task(node_id))
    for volume in config.volumes:
        kubernetes.mount_pvc(task, pvc_name=volume.claim, mount_path=volume.path)
    for secret in config.secrets:
        kubernetes.use_secret_as_env(task, secret.secret, {secret.key: secret.env})
    for name, value in config.environment.items():
        task.set_env_variable(name, value)
    kubernetes.set_image_pull_policy(task, config.image_pull_policy)
    if config.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(config.image_pull_secrets))


def _ask_for(task: dsl.PipelineTask, config: TaskConfig) -> None:
    if config.cpu:
        task.set_cpu_request(config.cpu)
    if config.cpu_limit:
        task.set_cpu_limit(config.cpu_limit)
    if config.memory:
        task.set_memory_request(config.memory)
    if config.memory_limit:
        task.set_memory_limit(config.memory_limit)
    if config.gpus:
        task.set_accelerator_type(config.gpu_type).set_accelerator_limit(config.gpus)
    if config.retries:
        task.set_retry(
            config.retries, backoff_duration=f'{config.backoff_seconds}s', backoff_factor=2.0
        )
    for key, value in config.node_selector.items():
        kubernetes.add_node_selector(task, key, value)
