"""Reads the parameters of a run from Kubeflow's ExecutorInput."""

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from common.errors import ConfigError
from pipeline.config.recipe import Recipe, parse_override, recipe_of

_OVERRIDES = TypeAdapter(list[str])


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
            f'the run ID {run} is a placeholder; use Kubeflow Pipelines 2.5 or newer, which '
            'replaces it'
        )
    return executor_input


def recipe_of_run(inputs: dict[str, Any]) -> Recipe:
    """The recipe with the overrides of this run; the nodes get one that contains them.

    Raises:
        ConfigError: the recipe or an override is invalid.
    """
    given = inputs.get('overrides', [])
    try:
        overrides = _OVERRIDES.validate_python(given)
    except ValidationError:
        raise ConfigError(
            f'overrides: {given} is not a list of strings; use a list such as ["trainer.seed=7"]'
        ) from None
    try:
        values = json.loads(inputs['recipe'])
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise ConfigError('recipe: not a JSON object; leave this parameter of the run unchanged')
    return recipe_of(values, list(map(parse_override, overrides)))
