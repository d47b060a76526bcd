"""Runs a compiled Kubeflow spec without a cluster: each task's command, in a subprocess.

`scripts/image_test.sh` runs this file in the image, so it imports nothing of the tests.
Emulates Argo, and Kubeflow's driver and launcher, for the parts of the specification that the
compiled pipeline uses: order, conditions, exit handlers, parameters with their defaults,
ExecutorInput, placeholders, outputs, secrets, an empty disk in each pod, umask 0. Only a lost pod
is repeated, as with the policy OnError. `kubeflow_programs.py` takes driver and launcher of a
release instead.
"""

import dataclasses
import graphlib
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import psutil
import yaml

REPOSITORY = Path(__file__).parents[2]
_CONDITION = re.compile(r"^inputs\.parameter_values\['(.+)'\] == '(\w+)'$")

Pod = tuple[list[str], dict[str, str]]  # command and environment


@dataclasses.dataclass
class TaskResult:
    """Exit code of the pod, combined output, folder of the output files, and number of pods."""

    code: int
    output: str
    folder: Path
    pods: int = 1


class KubeflowRun:
    """One run of a compiled pipeline, of all tasks or of `only` these, in their order.

    Attributes:
        finished: results by task.
        disturbances: by task, functions of its process that disturb its first pod, and return
            whether the pod is lost; else it goes on.
    """

    def __init__(
        self, package: Path, folder: Path, only: Collection[str] = (), **parameters: Any
    ) -> None:
        self._spec, self._platform = yaml.safe_load_all(package.read_text())
        declared = self._spec['root']['inputDefinitions']['parameters']
        self._parameters = {name: each['defaultValue'] for name, each in declared.items()}
        self._parameters |= parameters
        self._folder, self._only, self._run_id = folder, only, str(uuid.uuid4())
        self.finished: dict[str, TaskResult] = {}
        self.disturbances: dict[str, Callable[[subprocess.Popen], bool]] = {}

    def execute(self) -> None:
        """Runs all tasks; after a task that fails, only those that handle the exit."""
        self._run_dag(self._spec['root'], self._start_dag('root', {}, None))

    def read_artifact(self, name: str, key: str) -> tuple[dict[str, Any], str]:
        """The metadata of a task's output artifact, and its contents; metrics have none."""
        folder = self.finished[name].folder
        output = json.loads((folder / 'new' / 'output.json').read_text())
        artifacts = output['artifacts'].get(key, {}).get('artifacts', [{'metadata': {}}])
        file = folder / key
        return artifacts[0]['metadata'], file.read_text() if file.exists() else ''

    def _run_dag(self, component: dict[str, Any], dag: Any) -> bool:
        """Runs the tasks of a started DAG, and returns whether all succeeded."""
        tasks, succeeded = component['dag']['tasks'], True
        graph = {name: task.get('dependentTasks', ()) for name, task in tasks.items()}
        for name in graphlib.TopologicalSorter(graph).static_order():
            strategy = tasks[name].get('triggerPolicy', {}).get('strategy', '')
            if succeeded or strategy.endswith('_COMPLETED'):
                succeeded &= self._run_task(name, tasks[name], dag)
        return succeeded

    def _run_task(self, name: str, task: dict[str, Any], dag: Any) -> bool:
        component = self._component(task)
        if 'dag' in component:
            inner = self._start_dag(name, task, dag)
            return inner is None or self._run_dag(component, inner)
        if self._only and name not in self._only:
            return True
        pod = self._prepare(name, task, dag)
        pods = 1
        while not (result := self._run_pod(name, pod)):  # it is lost
            assert pods <= task['retryPolicy']['maxRetryCount']
            pods += 1
        result.pods = pods
        self.finished[name] = result
        return not result.code

    def _component(self, task: dict[str, Any]) -> dict[str, Any]:
        return self._spec['components'][task['componentRef']['name']]

    def _settings(self, task: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The container of a task, and its settings for Kubernetes."""
        label = self._component(task)['executorLabel']
        kubernetes = self._platform['platforms']['kubernetes']['deploymentSpec']['executors']
        return self._spec['deploymentSpec']['executors'][label]['container'], kubernetes[label]

    # `kubeflow_programs.py` replaces this and `_prepare`.
    def _start_dag(self, name: str, task: dict[str, Any], dag: Any) -> Any:
        """Returns a DAG in another one, or the root; None if its condition is false.

        It is here the values of its inputs.
        """
        if dag is None:
            return self._parameters
        inputs = self._inputs(task, dag)
        if condition := task.get('triggerPolicy', {}).get('condition'):
            ((key, value),) = _CONDITION.findall(condition)
            if inputs[key] != value:
                return None
        return inputs

    def _prepare(self, name: str, task: dict[str, Any], dag: Any) -> Pod:
        """A pod whose command has replaced placeholders."""
        container, kubernetes = self._settings(task)
        folder = self._folder / self._run_id / name
        folder.mkdir(parents=True)  # as the launcher does
        declared = self._component(task).get('outputDefinitions', {})
        files = {key: {'outputFile': str(folder / key)} for key in declared.get('parameters', {})}
        artifacts = {key: {'artifacts': [{'name': key}]} for key in declared.get('artifacts', {})}
        outputs = {'parameters': files, 'artifacts': artifacts}
        outputs['outputFile'] = str(folder / 'new' / 'output.json')  # 2.14 makes no folder
        inputs = {'parameterValues': self._inputs(task, dag)}
        environment = {each['name']: each.get('value', '') for each in container.get('env', [])}
        for secret in kubernetes.get('secretAsEnv', ()):
            for each in secret['keyToEnv']:
                environment[each['envVar']] = os.environ[each['secretKey']]
        assert container['command'][0] == 'python'
        words = [*container['command'][1:], *container['args']]
        # The launcher gets the input in its arguments.
        text = replace_variables(json.dumps({'inputs': inputs, 'outputs': outputs}), environment)
        return [sys.executable, *(_replaced(word, text) for word in words)], environment

    def _inputs(self, task: dict[str, Any], dag: dict[str, Any]) -> dict[str, Any]:
        sources = task['inputs']['parameters']
        return {key: self._value(source, dag) for key, source in sources.items()}

    def _value(self, source: dict[str, Any], parameters: dict[str, Any]) -> Any:
        if 'componentInputParameter' in source:
            return parameters[source['componentInputParameter']]
        if wanted := source.get('taskOutputParameter'):
            folder = self.finished[wanted['producerTask']].folder
            return (folder / wanted['outputParameterKey']).read_text()
        constant = source['runtimeValue']['constant']
        return self._run_id if constant == '{{$.pipeline_job_uuid}}' else constant

    def _run_pod(self, name: str, pod: Pod) -> TaskResult | None:
        """Runs a pod; None if it is lost. A pod has only the packages of the image."""
        command, environment = pod
        usual = {'PATH': '/usr/bin:/bin', 'PYTHONPATH': str(REPOSITORY), 'PYTHONUNBUFFERED': '1'}
        environment = {**usual, 'HOME': str(self._folder), **environment}
        disturb = self.disturbances.pop(name, None)
        pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT, 'text': True}
        with tempfile.TemporaryDirectory() as disk:
            if 'CATDOG_CACHE' in environment:
                environment['CATDOG_CACHE'] = disk
            options = {'cwd': self._folder, 'env': environment, 'umask': 0, **pipes}
            with subprocess.Popen(command, start_new_session=True, **options) as process:
                try:
                    if disturb and disturb(process):
                        return None
                    output, _ = process.communicate()
                finally:
                    if process.poll() is None:
                        first = psutil.Process(process.pid)
                        for each in (*first.children(recursive=True), first):
                            each.kill()
        code = int(process.returncode != 0)  # the launcher ends with 1 whatever the code
        return TaskResult(code, output, self._folder / self._run_id / name)


def _replaced(word: str, text: str) -> str:
    """Replaces placeholders as the launcher does: in random order, also in replaced values."""
    executor_input = json.loads(text)
    outputs = executor_input['outputs']
    values = {
        f"{{{{$.inputs.parameters['{key}']}}}}": each if isinstance(each, str) else json.dumps(each)
        for key, each in executor_input['inputs']['parameterValues'].items()
    }
    for key in outputs['artifacts']:
        path = Path(outputs['outputFile']).parents[1] / key
        values[f"{{{{$.outputs.artifacts['{key}'].path}}}}"] = str(path)
    word = word.replace('{{$}}', text)
    for placeholder in random.sample(list(values), len(values)):
        word = word.replace(placeholder, values[placeholder])
    return word


def replace_variables(text: str, environment: dict[str, str]) -> str:
    """Replaces `$(NAME)`, as Kubernetes does in the command and the arguments of a container."""
    return re.sub(r'\$\((\w+)\)', lambda match: environment.get(match[1], match[0]), text)
