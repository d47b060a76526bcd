"""Runs a compiled Kubeflow spec without a cluster: each task's command, in a subprocess.

`scripts/image_test.sh` runs this file in the image, so it imports nothing of the tests.
Emulates Argo, and Kubeflow's driver and launcher, for the parts of the specification that the
compiled pipeline uses: order, conditions, exit handlers, retries, parameters with their types and
defaults, ExecutorInput, placeholders, outputs. `kubeflow_programs.py` replaces the emulated driver
and launcher by those of a release.
"""

import contextlib
import dataclasses
import json
import os
import random
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
_EXECUTOR_INPUT = '{{$}}'
_CONDITION = re.compile(r"inputs\.parameter_values\['(.+)'\] == '(\w+)'")


@dataclasses.dataclass
class TaskResult:
    """Exit code of the pod, combined output, and folder of the output files of a task."""

    code: int
    output: str
    folder: Path
    attempts: int = 1


class KubeflowRun:
    """One run of a compiled pipeline; tasks run in the order of their dependencies.

    A started DAG is represented by the values of its inputs.

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
        self,
        package: Path,
        folder: Path,
        only: Collection[str] = (),
        **parameters: Any,
    ) -> None:
        self._spec, self._platform = yaml.safe_load_all(package.read_text())
        self._folder = folder
        self._only = only
        declared = self._spec['root']['inputDefinitions']['parameters']
        self._parameters = {name: each['defaultValue'] for name, each in declared.items()}
        self._parameters |= parameters
        self._run_id = str(uuid.uuid4())
        self._commands: dict[str, list[str]] = {}
        self._environments: dict[str, dict[str, str]] = {}
        self._timeouts: dict[str, int] = {}  # in seconds
        self.finished: dict[str, TaskResult] = {}
        self.first_attempts: dict[str, Callable[..., object]] = {}

    def execute(self) -> None:
        """Runs all tasks; after a task that fails, only those that handle the exit."""
        self._run_tasks(self._spec['root']['dag']['tasks'], self._start_root())

    def run_again(self, name: str) -> TaskResult:
        """Runs a task again with the same run id."""
        folder = self._folder / self._run_id / name
        options = {
            'cwd': self._folder,
            # A pod has only the packages of the image, and unbuffered output.
            'env': {
                'PATH': '/usr/bin:/bin',
                'PYTHONPATH': str(REPOSITORY),
                'HOME': str(self._folder),
                'PYTHONUNBUFFERED': '1',
                **self._environments[name],
            },
            'stdout': subprocess.PIPE,
            'stderr': subprocess.STDOUT,
            'text': True,
            'start_new_session': True,
        }
        command = self._attempt(name)
        if name in self.first_attempts:
            self.first_attempts.pop(name)(command, **options)
            return TaskResult(1, '', folder)
        code, output = run_pod(command, self._timeouts[name], **options)
        return TaskResult(int(code != 0), output, folder)

    def read_artifact(self, name: str, key: str) -> tuple[dict[str, Any], str]:
        """The metadata of a task's output artifact, and its contents; metrics have none."""
        folder = self.finished[name].folder
        output = json.loads((folder / 'executor_output.json').read_text())
        artifacts = output['artifacts'].get(key, {}).get('artifacts', [{'metadata': {}}])
        file = folder / key
        return artifacts[0]['metadata'], file.read_text() if file.exists() else ''

    def states(self) -> dict[str, str]:
        """States of the finished tasks in ML Metadata."""
        return {
            name: 'FAILED' if result.code else 'COMPLETE' for name, result in self.finished.items()
        }

    def _attempt(self, name: str) -> list[str]:
        """The command of a new attempt of a prepared task."""
        return self._commands[name]

    def _run_tasks(self, tasks: dict[str, Any], dag: Any) -> bool:
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
                succeeded &= self._run_task(name, task, dag)
        return succeeded

    def _run_task(self, name: str, task: dict[str, Any], dag: Any) -> bool:
        component = self._spec['components'][task['componentRef']['name']]
        if 'dag' in component:
            inner = self._start_dag(name, task, dag)
            return inner is None or self._run_tasks(component['dag']['tasks'], inner)
        if self._only and name not in self._only:
            return True
        self._prepare_container(name, task, dag)
        for attempt in range(1 + task.get('retryPolicy', {}).get('maxRetryCount', 0)):
            result = self.run_again(name)
            result.attempts += attempt
            if not result.code:
                break
        self.finished[name] = result
        return not result.code

    def _start_root(self) -> Any:
        return self._parameters

    def _start_dag(self, name: str, task: dict[str, Any], dag: Any) -> Any:
        """Returns a DAG in another one; None if its condition is false."""
        inputs = self._inputs(task, dag)
        if condition := task.get('triggerPolicy', {}).get('condition'):
            match = _CONDITION.fullmatch(condition)
            assert match
            if inputs[match[1]] != match[2]:
                return None
        return inputs

    def _inputs(self, task: dict[str, Any], dag: dict[str, Any]) -> dict[str, Any]:
        return {
            key: self._value(source, dag) for key, source in task['inputs']['parameters'].items()
        }

    def _value(self, source: dict[str, Any], parameters: dict[str, Any]) -> Any:
        if 'componentInputParameter' in source:
            return parameters[source['componentInputParameter']]
        if 'taskOutputParameter' in source:
            wanted = source['taskOutputParameter']
            folder = self.finished[wanted['producerTask']].folder
            return (folder / wanted['outputParameterKey']).read_text()
        constant = source['runtimeValue']['constant']
        return self._run_id if constant == '{{$.pipeline_job_uuid}}' else constant

    def _prepare_container(self, name: str, task: dict[str, Any], dag: Any) -> None:
        """Sets the container's command, with replaced placeholders, environment and timeout."""
        component = self._spec['components'][task['componentRef']['name']]
        container, kubernetes = self._executor(component)
        folder = self._folder / self._run_id / name
        folder.mkdir(parents=True)  # as the launcher does
        declared = component.get('outputDefinitions', {})
        executor_input = {
            'inputs': {'parameterValues': self._inputs(task, dag)},
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
        environment = {each['name']: each.get('value', '') for each in container.get('env', [])}
        self._environments[name] = environment
        self._timeouts[name] = int(kubernetes['activeDeadlineSeconds'])
        assert container['command'][0] == 'python'
        words = [*container['command'][1:], *container['args']]
        # The launcher gets the input in its arguments.
        text = replace_variables(json.dumps(executor_input), environment)
        self._commands[name] = [sys.executable, *(self._replaced(word, text) for word in words)]

    def _executor(self, component: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The container of a component, and its settings of Kubernetes."""
        label, platform = component['executorLabel'], self._platform['platforms']['kubernetes']
        return (
            self._spec['deploymentSpec']['executors'][label]['container'],
            platform['deploymentSpec']['executors'][label],
        )

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
        word = word.replace(_EXECUTOR_INPUT, text)
        for placeholder in random.sample(list(values), len(values)):
            word = word.replace(placeholder, values[placeholder])
        return word


def run_pod(command: list[str], timeout: float, **options: Any) -> tuple[int, str]:
    """Runs the processes of a pod in their own session; returns exit code and output.

    When the main process has ended, or after the timeout in seconds, all are killed.
    """
    with subprocess.Popen(command, **options) as process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _kill_session(process.pid)
            output, _ = process.communicate()
        finally:
            _kill_session(process.pid)
    return process.returncode, output


def _kill_session(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def replace_variables(text: str, environment: dict[str, str]) -> str:
    """Replaces `$(NAME)`, as Kubernetes does in the command and the arguments of a container."""
    return re.sub(r'\$\((\w+)\)', lambda match: environment.get(match[1], match[0]), text)
