"""Runs a compiled Kubeflow spec without a cluster: each task's command, in a subprocess.

Emulates Kubeflow's driver and launcher for the parts of the specification that the compiled
pipeline uses: order, conditions, parameters and their defaults, placeholders, outputs.
"""

import dataclasses
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from workspace import RUNNER

_PLACEHOLDER = re.compile(
    r"\{\{\$(?:\.(?P<kind>inputs|outputs)\.(?P<what>\w+)\['(?P<name>\w+)'\](?P<rest>\.\w+)?)?\}\}"
)


@dataclasses.dataclass
class TaskResult:
    """Result of a task."""

    name: str
    code: int
    output: str
    parameters: dict[str, str]
    metadata: dict[str, Any]
    files: dict[str, Path]


class KubeflowRun:
    """One run of a compiled pipeline; tasks run in the order of their dependencies.

    Args:
        package: the compiled YAML.
        folder: for the tasks' outputs.
        parameters: values that override the defaults.
    """

    def __init__(self, package: Path, folder: Path, **parameters: Any) -> None:
        self._spec = next(iter(yaml.safe_load_all(package.read_text())))
        self._executors = self._spec['deploymentSpec']['executors']
        self._folder = folder
        self.run_id = str(uuid.uuid4())
        declared = self._spec['root']['inputDefinitions']['parameters']
        unknown = set(parameters) - set(declared)
        assert not unknown, f'the pipeline has no parameters {unknown}'
        defaults = {name: each.get('defaultValue') for name, each in declared.items()}
        self._parameters = {**defaults, **parameters}
        self.finished: dict[str, TaskResult] = {}
        self.first_attempts: dict[str, Callable[..., object]] = {}  # failing attempts, by task
        self._executed: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def execute(self) -> None:
        """Runs all tasks; stops at the first task that fails."""
        self._run_tasks(self._spec['root']['dag']['tasks'], self._parameters)

    def _run_tasks(self, tasks: dict[str, Any], parameters: dict[str, Any]) -> bool:
        waiting = dict(tasks)
        while waiting:
            name = next(
                name
                for name, task in waiting.items()
                if not set(task.get('dependentTasks', [])) & set(waiting)
            )
            if not self._run_task(name, waiting.pop(name), parameters):
                return False
        return True

    def _run_task(self, name: str, task: dict[str, Any], parameters: dict[str, Any]) -> bool:
        inputs = {
            key: self._value(source, parameters)
            for key, source in task.get('inputs', {}).get('parameters', {}).items()
        }
        if not _is_true(task.get('triggerPolicy', {}).get('condition'), inputs):
            return True
        component = self._spec['components'][task['componentRef']['name']]
        if 'dag' in component:
            return self._run_tasks(component['dag']['tasks'], inputs)
        done = self._execute(name, component, inputs)
        self.finished[name] = done
        return done.code == 0

    def _value(self, source: dict[str, Any], parameters: dict[str, Any]) -> Any:
        if 'componentInputParameter' in source:
            return parameters[source['componentInputParameter']]
        if 'taskOutputParameter' in source:
            wanted = source['taskOutputParameter']
            return self.finished[wanted['producerTask']].parameters[wanted['outputParameterKey']]
        constant = source['runtimeValue']['constant']
        return self.run_id if constant == '{{$.pipeline_job_uuid}}' else constant

    def run_again(self, name: str) -> TaskResult:
        """Runs a finished task again with the same run id."""
        return self._execute(name, *self._executed[name])

    def _execute(self, name: str, component: dict[str, Any], inputs: dict[str, Any]) -> TaskResult:
        self._executed[name] = component, inputs
        command, executor_input = self._command(name, component, inputs)
        process = {
            'cwd': self._folder,
            # A pod has only the packages of the image, and unbuffered output.
            'env': {
                'PATH': '/usr/bin:/bin',
                'PYTHONPATH': str(RUNNER.parent),
                'HOME': str(self._folder),
                'PYTHONUNBUFFERED': '1',
            },
            'stdout': subprocess.PIPE,
            'stderr': subprocess.STDOUT,
            'text': True,
        }
        if name in self.first_attempts:
            self.first_attempts.pop(name)(command, **process)
        done = subprocess.run(command, timeout=300, **process)
        outputs = executor_input['outputs']
        parameters = {
            key: Path(each['outputFile']).read_text()
            for key, each in outputs['parameters'].items()
            if Path(each['outputFile']).exists()
        }
        output_file = Path(outputs['outputFile'])
        metadata = json.loads(output_file.read_text()) if output_file.exists() else {}
        files = {
            key: Path(each['artifacts'][0]['uri']) for key, each in outputs['artifacts'].items()
        }
        return TaskResult(name, done.returncode, done.stdout, parameters, metadata, files)

    def _command(
        self, name: str, component: dict[str, Any], inputs: dict[str, Any]
    ) -> tuple[list[str], dict[str, Any]]:
        """The container's command with resolved placeholders, and Kubeflow's ExecutorInput."""
        folder = self._folder / self.run_id / name
        declared = component.get('outputDefinitions', {})
        executor_input = {
            'inputs': {'parameterValues': inputs},
            'outputs': {
                'parameters': {
                    key: {'outputFile': str(folder / key)} for key in declared.get('parameters', {})
                },
                'artifacts': {
                    key: {
                        'artifacts': [
                            {
                                'name': key,
                                'uri': str(folder / key),
                                'metadata': {},
                                'type': each['artifactType'],
                            }
                        ]
                    }
                    for key, each in declared.get('artifacts', {}).items()
                },
                'outputFile': str(folder / 'executor_output.json'),
            },
        }
        container = self._executors[component['executorLabel']]['container']
        words = [
            _PLACEHOLDER.sub(lambda match: _resolve(match, executor_input), word)
            for word in [*container['command'], *container['args']]
        ]
        assert words[0] == 'python'
        return [sys.executable, *words[1:]], executor_input


def _resolve(match: re.Match[str], executor_input: dict[str, Any]) -> str:
    if match['kind'] is None:
        return json.dumps(executor_input)
    if match['kind'] == 'inputs':
        value = executor_input['inputs']['parameterValues'][match['name']]
        return value if isinstance(value, str) else json.dumps(value)
    output = executor_input['outputs'][match['what']][match['name']]
    return output['outputFile'] if match['what'] == 'parameters' else output['artifacts'][0]['uri']


def _is_true(condition: str | None, inputs: dict[str, Any]) -> bool:
    """Evaluates a trigger condition, which compares a parameter with a string."""
    if condition is None:
        return True
    match = re.fullmatch(r"inputs\.parameter_values\['(.+)'\] == '(\w+)'", condition)
    assert match, condition
    return inputs[match[1]] == match[2]
