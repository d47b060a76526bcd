"""The first task of a Kubeflow run: checks the run, and decides whether to train."""

import json
import logging
from typing import Any

from pipeline.config.recipe import Recipe
from pipeline.execution.recipe_checks import check
from pipeline.kubeflow.run_inputs import escape_placeholders, recipe_of_run
from pipeline.metadata_store import open_store
from pipeline.models.preparation import prepare_metadata
from pipeline.retraining.tick import recipe_to_train
from pipeline.run.record import utc_now, write_run
from pipeline.run.recording import Recording, new_run

_log = logging.getLogger(__name__)


def decide(inputs: dict[str, Any]) -> dict[str, str]:
    """Decides whether to train, records that, and returns the outputs of the task.

    The other tasks take the recipe with the overrides of this run, the classes and the number of
    images from here: they need no checks, and the data may change meanwhile.

    Raises:
        PipelineError: a parameter, the recipe or the data cannot be used.
    """
    # As the other tasks get it: redacted, so the secrets of this task come from where theirs do.
    recipe = Recipe.model_validate_json(recipe_of_run(inputs).as_json())
    kind = 'tick' if inputs['only_when_new'] else 'run'
    run = new_run(recipe, utc_now(), id=inputs['run_id'], kind=kind, engine='kubeflow')
    training: Recipe | None = recipe
    with Recording(recipe.home, run) as record:
        if inputs['only_when_new']:
            training = recipe_to_train(recipe, record)
        else:
            prepare_metadata(recipe, open_store(recipe.metadata, recipe.home))
            record.run = record.run.with_values(decision='this run was requested')
        classes, images = check(training) if training else ((), 0)
        if training:
            write_run(recipe.home, record.run)  # an error fails the attempt: the tasks change it
        else:
            record.end('nothing new', exit_code=0)
    _log.info(record.run.decision)
    return {  # Kubeflow requires all of them, also if no other task runs
        'train': json.dumps(training is not None),
        'merged_recipe': escape_placeholders((training or recipe).as_json()),
        'classes': escape_placeholders(json.dumps(classes)),
        'images': str(images),
    }
