"""Runs a compiled Kubeflow spec without a cluster: each task's own command, in its own process.

It does what Kubeflow's driver and launcher do for the parts of the specification that the compiled
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

REPOSITORY = Path(__file__).parents[2]
_PLACEHOLDER = re.compile(
    r"\{\{\$(?:\.(?P<kind>inputs|outputs)\.(?P<what>\w+)\['(?P<name>\w+)'\](?P<rest>\.\w+)?)?\}\}"
)


@dataclasses.dataclass
class Finished:
    """A task that has run."""

    name: str
    code: int
    output: str
    parameters: dict[str, str]
    metadata: dict[str, Any]
    files: dict[str, Path]


class Walker:
    """Walks through a spec, in the order of its dependencies.

    Args:
        package: the compiled YAML.
        folder: for what tasks give one another.
        parameters: those that differ from their defaults.
    """

    def __init__(self, package: Path, folder: Path, **parameters: Any) -> None:
        self._spec = next(iter(yaml.safe_load_all(package.read_text())))
        self._executors = self._spec['deploymentSpec']['executors']
        self._folder = folder
        self.run_id = str(uuid.uuid4())
        declared = self._spec['root']['inputDefinitions']['parameters']
        unknown = set(parameters) - set(declared)
        assert not unknown, f'the pipeline has no {unknown}'
        defaults = {name: each.get('defaultValue') for name, each in declared.items()}
        self._parameters = {**defaults, **parameters}
        self.finished: dict[str, Finished] = {}
        self.before: dict[str, Callable[..., object]] = {}  # what befalls a task's first attempt
        self._executed: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}

    def walk(self) -> dict[str, Finished]:
        """Runs everything; stops at the first task that fails."""
        self._walk(self._spec['root']['dag']['tasks'], self._parameters)
        return self.finished

    def _walk(self, tasks: dict[str, Any], given: dict[str, Any]) -> bool:
        waiting = dict(tasks)
        while waiting:
            name = next(
                name
                for name, task in waiting.items()
                if not set(task.get('dependentTasks', [])) & set(waiting)
            )
            if not self.run_task(name, waiting.pop(name), given):
                return False
        return True

    def run_task(self, name: str, task: dict[str, Any], given: dict[str, Any]) -> bool:
        inputs = {
            key: self._value(source, given)
            for key, source in task.get('inputs', {}).get('parameters', {}).items()
        }
        if not _holds(task.get('triggerPolicy', {}).get('condition'), inputs):
            return True
        component = self._spec['components'][task['componentRef']['name']]
        if 'dag' in component:
            return self._walk(component['dag']['tasks'], inputs)
        done = self._execute(name, component, inputs)
        self.finished[name] = done
        return done.code == 0

    def _value(self, source: dict[str, Any], given: dict[str, Any]) -> Any:
        if 'componentInputParameter' in source:
            return given[source['componentInputParameter']]
        if 'taskOutputParameter' in source:
            wanted = source['taskOutputParameter']
            return self.finished[wanted['producerTask']].parameters[wanted['outputParameterKey']]
        constant = source['runtimeValue']['constant']
        return self.run_id if constant == '{{$.pipeline_job_uuid}}' else constant

    def run_again(self, name: str) -> Finished:
        """A task that has run already, with the same run id."""
        return self._execute(name, *self._executed[name])

    def _execute(self, name: str, component: dict[str, Any], inputs: dict[str, Any]) -> Finished:
        self._executed[name] = component, inputs
        command, executor_input = self.command(name, component, inputs)
        process = {
            'cwd': self._folder,
            'env': self.environment(),
            'stdout': subprocess.PIPE,
            'stderr': subprocess.STDOUT,
            'text': True,
        }
        if name in self.before:
            self.before.pop(name)(command, **process)
        done = subprocess.run(command, timeout=300, **process)
        outputs = executor_input['outputs']
        parameters = {
            key: Path(each['outputFile']).read_text()
            for key, each in outputs['parameters'].items()
            if Path(each['outputFile']).exists()
        }
        handed_over = Path(outputs['outputFile'])
        metadata = json.loads(handed_over.read_text()) if handed_over.exists() else {}
        files = {
            key: Path(each['artifacts'][0]['uri']) for key, each in outputs['artifacts'].items()
        }
        return Finished(name, done.returncode, done.stdout, parameters, metadata, files)

    def environment(self) -> dict[str, str]:
        """A pod has nothing of ours but the image's packages, and prints at once."""
        return {
            'PATH': '/usr/bin:/bin',
            'PYTHONPATH': str(REPOSITORY),
            'HOME': str(self._folder),
            'PYTHONUNBUFFERED': '1',
        }

    def command(
        self, name: str, component: dict[str, Any], inputs: dict[str, Any]
    ) -> tuple[list[str], dict[str, Any]]:
        """The container's command with its placeholders filled, and Kubeflow's ExecutorInput."""
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
            _PLACEHOLDER.sub(lambda match: _filled(match, executor_input), word)
            for word in [*container['command'], *container['args']]
        ]
        assert words[0] == 'python'
        return [sys.executable, *words[1:]], executor_input


def _filled(match: re.Match[str], executor_input: dict[str, Any]) -> str:
    if match['kind'] is None:
        return json.dumps(executor_input)
    if match['kind'] == 'inputs':
        value = executor_input['inputs']['parameterValues'][match['name']]
        return value if isinstance(value, str) else json.dumps(value)
    output = executor_input['outputs'][match['what']][match['name']]
    return output['outputFile'] if match['what'] == 'parameters' else output['artifacts'][0]['uri']


def _holds(condition: str | None, inputs: dict[str, Any]) -> bool:
    """Whether a task is to run; the compiled pipeline compares a parameter with a string."""
    if condition is None:
        return True
    match = re.fullmatch(r"inputs\.parameter_values\['(.+)'\] == '(\w+)'", condition)
    assert match, condition
    return inputs[match[1]] == match[2]
