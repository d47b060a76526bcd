"""Runs a compiled Kubeflow spec without a cluster: each task's command, in a subprocess.

`scripts/image_test.sh` runs this file in the image, so it imports nothing of the tests.
Emulates Kubeflow's driver and launcher for the parts of the specification that the compiled
pipeline uses: order, conditions, parameters and their defaults, ExecutorInput, outputs.
"""

import dataclasses
import json
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
_ARTIFACT_PATH = re.compile(r"\{\{\$\.outputs\.artifacts\['(\w+)'\]\.path\}\}")
_CONDITION = re.compile(r"inputs\.parameter_values\['(.+)'\] == '(\w+)'")


@dataclasses.dataclass
class TaskResult:
    """Exit code, combined output, and folder of the output files of a task."""

    code: int
    output: str
    folder: Path


class KubeflowRun:
    """One run of a compiled pipeline; tasks run in the order of their dependencies.

    Args:
        package: the compiled YAML.
        folder: for the tasks' outputs.
        only: names of the tasks to run; all by default.
        parameters: values that override the defaults.

    Attributes:
        finished: results by task.
        first_attempts: functions that start a task's command and make it fail, by task.
    """

    def __init__(
        self, package: Path, folder: Path, only: Collection[str] = (), **parameters: Any
    ) -> None:
        self._spec = next(iter(yaml.safe_load_all(package.read_text())))
        self._folder = folder
        self._only = only
        declared = self._spec['root']['inputDefinitions']['parameters']
        assert set(parameters) <= set(declared)
        self._parameters = {name: each['defaultValue'] for name, each in declared.items()}
        self._parameters |= parameters
        self._run_id = str(uuid.uuid4())
        self._commands: dict[str, list[str]] = {}
        self.finished: dict[str, TaskResult] = {}
        self.first_attempts: dict[str, Callable[..., object]] = {}

    def execute(self) -> None:
        """Runs all tasks; stops at the first task that fails."""
        self._run_tasks(self._spec['root']['dag']['tasks'], self._parameters)

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
            },
            'stdout': subprocess.PIPE,
            'stderr': subprocess.STDOUT,
            'text': True,
        }
        if name in self.first_attempts:
            self.first_attempts.pop(name)(self._commands[name], **options)
        done = subprocess.run(self._commands[name], **options)
        return TaskResult(done.returncode, done.stdout, folder)

    def _run_tasks(self, tasks: dict[str, Any], parameters: dict[str, Any]) -> None:
        waiting = dict(tasks)
        while waiting:
            name = next(
                name
                for name, task in waiting.items()
                if not set(task.get('dependentTasks', [])) & set(waiting)
            )
            task = waiting.pop(name)
            inputs = {
                key: self._value(source, parameters)
                for key, source in task['inputs']['parameters'].items()
            }
            component = self._spec['components'][task['componentRef']['name']]
            if 'dag' in component:
                condition = _CONDITION.fullmatch(task['triggerPolicy']['condition'])
                assert condition
                if inputs[condition[1]] == condition[2]:
                    self._run_tasks(component['dag']['tasks'], inputs)
                continue
            if self._only and name not in self._only:
                continue
            self._commands[name] = self._command(name, component, inputs)
            self.finished[name] = self.run_again(name)
            if self.finished[name].code:
                return

    def _value(self, source: dict[str, Any], parameters: dict[str, Any]) -> Any:
        if 'componentInputParameter' in source:
            return parameters[source['componentInputParameter']]
        if 'taskOutputParameter' in source:
            wanted = source['taskOutputParameter']
            folder = self.finished[wanted['producerTask']].folder
            return (folder / wanted['outputParameterKey']).read_text()
        constant = source['runtimeValue']['constant']
        return self._run_id if constant == '{{$.pipeline_job_uuid}}' else constant

    def _command(self, name: str, component: dict[str, Any], inputs: dict[str, Any]) -> list[str]:
        """The container's command with resolved placeholders."""
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
        assert container['command'][0] == 'python'
        words = [
            _ARTIFACT_PATH.sub(lambda match: str(folder / match[1]), word)
            for word in [*container['command'][1:], *container['args']]
        ]
        return [
            sys.executable,
            *(json.dumps(executor_input) if word == _EXECUTOR_INPUT else word for word in words),
        ]
