"""Parameters of a run: escaped when they are compiled, read from Kubeflow's ExecutorInput."""

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from common.errors import ConfigError
from pipeline.config.recipe import Recipe, parse_override, recipe_of

_JSON_OBJECT = TypeAdapter(dict[str, Any])


def escape_placeholders(text: str) -> str:
    """Escapes JSON against replacements in the command of a pod; it still parses to the same value.

    Kubeflow's launcher replaces `{{$...}}`, Argo `{{...}}` and Kubernetes `$(NAME)`, also inside
    the values of parameters. In JSON, dollars and pairs of braces occur only within strings.
    """
    return text.replace('$', '\\u0024').replace('{{', '{\\u007b')


def parse_executor_input(text: str) -> dict[str, Any]:
    """Parses the ExecutorInput message of kfp's pipeline_spec.proto.

    Raises:
        ConfigError: Kubeflow replaced a placeholder in a parameter, or is too old for the run ID.
    """
    try:
        executor_input: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f'the input of the task is not JSON ({error}); a parameter of this run probably '
            'contains {{$...}}, which Kubeflow replaces: remove it'
        ) from None
    run = executor_input['inputs']['parameterValues']['run_id']
    if '{{' in run:
        raise ConfigError(
            f'the run ID {run} is a placeholder; use Kubeflow Pipelines 2.14 or newer'
        )
    return executor_input


def recipe_of_run(inputs: dict[str, Any]) -> Recipe:
    """The recipe with the overrides of this run; the nodes get one that contains them.

    Raises:
        ConfigError: the recipe or an override is invalid.
    """
    overrides = [parse_override(str(each)) for each in inputs.get('overrides', ())]
    try:
        values = _JSON_OBJECT.validate_json(inputs['recipe'])
    except ValidationError:
        message = 'recipe: not a JSON object; leave this parameter of the run unchanged'
        raise ConfigError(message) from None
    return recipe_of(values, overrides)
