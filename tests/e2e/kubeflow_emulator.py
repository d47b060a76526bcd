"""Runs a compiled Kubeflow spec without a cluster: each task's command, in a subprocess.

`scripts/image_test.sh` runs this file in the image, so it imports nothing of the tests.
Emulates Kubeflow's driver and launcher for the parts of the specification that the compiled
pipeline uses: order, conditions, exit handlers, retries, parameters with their types and defaults,
ExecutorInput, placeholders, outputs. Where releases differ, it emulates 2.5 or 2.14 and newer.
"""

import dataclasses
import json
import random
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import yaml

_REPOSITORY = Path(__file__).parents[2]
_EXECUTOR_INPUT = '{{$}}'
_CONDITION = re.compile(r"inputs\.parameter_values\['(.+)'\] == '(\w+)'")
_TYPES = {'STRING': str, 'LIST': list, 'BOOLEAN': bool}


@dataclasses.dataclass
class TaskResult:
    """Exit code of the pod, combined output, and folder of the output files of a task."""

    code: int
    output: str
    folder: Path
    attempts: int = 1


class KubeflowRun:
    """One run of a compiled pipeline; tasks run in the order of their dependencies.

    Args:
        package: the compiled YAML.
        folder: for the tasks' outputs.
        only: names of the tasks to run; all by default.
        release: of Kubeflow, '2.5' or '2.14'.
        parameters: values that override the defaults.

    Attributes:
        finished: results by task.
        first_attempts: functions that start a task's command and make it fail, by task.

    Raises:
        ValueError: a parameter is not declared, or has another type.
    """

    def __init__(
        self,
        package: Path,
        folder: Path,
        only: Collection[str] = (),
        release: str = '2.14',
        **parameters: Any,
    ) -> None:
        self._spec = next(iter(yaml.safe_load_all(package.read_text())))
        self._folder = folder
        self._only = only
        self._old = release == '2.5'
        declared = self._spec['root']['inputDefinitions']['parameters']
        for name, value in parameters.items():
            if name not in declared or type(value) is not _TYPES[declared[name]['parameterType']]:
                raise ValueError(f'parameter {name}: {value!r} is not declared, or of another type')
        self._parameters = {name: each['defaultValue'] for name, each in declared.items()}
        self._parameters |= parameters
        self._run_id = str(uuid.uuid4())
        self._commands: dict[str, list[str]] = {}
        self._environments: dict[str, dict[str, str]] = {}
        self._published: dict[str, TaskResult] = {}  # by the name under which others find a task
        self.finished: dict[str, TaskResult] = {}
        self.first_attempts: dict[str, Callable[..., object]] = {}

    def execute(self) -> None:
        """Runs all tasks; after a task that fails, only those that handle the exit."""
        self._run_tasks(self._spec['root']['dag']['tasks'], self._parameters, in_root=True)

    def run_again(self, name: str) -> TaskResult:
        """Runs a task again with the same run id."""
        folder = self._folder / self._run_id / name
        options = {
            'cwd': self._folder,
            # A pod has only the packages of the image, and unbuffered output.
            'env': {
                'PATH': '/usr/bin:/bin',
                'PYTHONPATH': str(_REPOSITORY),
                'HOME': str(self._folder),
                'PYTHONUNBUFFERED': '1',
                **self._environments[name],
            },
            'stdout': subprocess.PIPE,
            'stderr': subprocess.STDOUT,
            'text': True,
        }
        if name in self.first_attempts:
            self.first_attempts.pop(name)(self._commands[name], **options)
            return TaskResult(1, '', folder)
        done = subprocess.run(self._commands[name], **options)
        return TaskResult(int(done.returncode != 0), done.stdout, folder)

    def _run_tasks(
        self, tasks: dict[str, Any], parameters: dict[str, Any], in_root: bool = False
    ) -> bool:
        """Runs the tasks of a DAG, and returns whether all succeeded."""
        waiting, succeeded = dict(tasks), True
        while waiting:
            name = next(
                name
                for name, task in waiting.items()
                if not set(task.get('dependentTasks', [])) & set(waiting)
            )
            task = waiting.pop(name)
            handles_exit = task.get('triggerPolicy', {}).get('strategy', '').endswith('_COMPLETED')
            if succeeded or handles_exit:
                succeeded &= self._run_task(name, task, parameters, in_root)
        return succeeded

    def _run_task(
        self, name: str, task: dict[str, Any], parameters: dict[str, Any], in_root: bool
    ) -> bool:
        inputs = {
            key: self._value(source, parameters)
            for key, source in task['inputs']['parameters'].items()
        }
        component = self._spec['components'][task['componentRef']['name']]
        if 'dag' in component:
            if condition := task.get('triggerPolicy', {}).get('condition'):
                match = _CONDITION.fullmatch(condition)
                assert match
                if inputs[match[1]] != match[2]:
                    return True
            return self._run_tasks(component['dag']['tasks'], inputs)
        if self._only and name not in self._only:
            return True
        self._commands[name] = self._command(name, component, inputs)
        # Releases before 2.14 retry only tasks of the root DAG.
        policy = task.get('retryPolicy', {}) if in_root or not self._old else {}
        for attempt in range(1 + policy.get('maxRetryCount', 0)):
            result = self.run_again(name)
            result.attempts += attempt
            if not result.code:
                break
        self.finished[name] = result
        self._published[task['taskInfo']['name'] if self._old else name] = result
        return not result.code

    def _value(self, source: dict[str, Any], parameters: dict[str, Any]) -> Any:
        if 'componentInputParameter' in source:
            return parameters[source['componentInputParameter']]
        if 'taskOutputParameter' in source:
            wanted = source['taskOutputParameter']
            folder = self._published[wanted['producerTask']].folder
            return (folder / wanted['outputParameterKey']).read_text()
        constant = source['runtimeValue']['constant']
        return self._run_id if constant == '{{$.pipeline_job_uuid}}' else constant

    def _command(self, name: str, component: dict[str, Any], inputs: dict[str, Any]) -> list[str]:
        """The container's command with replaced placeholders."""
        folder = self._folder / self._run_id / name
        declared = component.get('outputDefinitions', {})
        executor_input = {
            'inputs': {'parameterValues': inputs},
            'outputs': {
                'parameters': {
                    key: {'outputFile': str(folder / key)} for key in declared.get('parameters', {})
                },
                'artifacts': {
                    key: {'artifacts': [{'name': key, 'uri': f'minio://bucket/{key}'}]}
                    for key in declared.get('artifacts', {})
                },
                'outputFile': str(folder / 'executor_output.json'),
            },
        }
        executors = self._spec['deploymentSpec']['executors']
        container = executors[component['executorLabel']]['container']
        environment = {each['name']: each.get('value', '') for each in container.get('env', [])}
        self._environments[name] = environment
        assert container['command'][0] == 'python'
        words = [*container['command'][1:], *container['args']]
        text = re.sub(  # as Kubernetes does in the arguments of the launcher
            r'\$\((\w+)\)',
            lambda match: environment.get(match[1], match[0]),
            json.dumps(executor_input),
        )
        return [sys.executable, *(self._replaced(word, text) for word in words)]

    def _replaced(self, word: str, text: str) -> str:
        """Replaces placeholders as the launcher does: in random order, also in replaced values."""
        executor_input = json.loads(text)
        outputs = executor_input['outputs']
        folder = Path(outputs['outputFile']).parent
        values = {
            f"{{{{$.inputs.parameters['{key}']}}}}": value
            if isinstance(value, str)
            else json.dumps(value)
            for key, value in executor_input['inputs']['parameterValues'].items()
        }
        for key in outputs['artifacts']:
            values[f"{{{{$.outputs.artifacts['{key}'].path}}}}"] = str(folder / key)
        for key, each in outputs['parameters'].items():
            values[f"{{{{$.outputs.parameters['{key}'].output_file}}}}"] = each['outputFile']
        if self._old:
            values[_EXECUTOR_INPUT] = text
        else:
            word = word.replace(_EXECUTOR_INPUT, text)
        for placeholder in random.sample(list(values), len(values)):
            word = word.replace(placeholder, values[placeholder])
        return word
