"""The first task of a Kubeflow run: checks the run, decides whether to train, and cleans up."""

import dataclasses
import json
import logging
from typing import Any

from common.errors import FAILED, AlreadyRunning, ConfigError, PipelineError
from pipeline.config.recipe import Recipe
from pipeline.execution.recipe_checks import (
    check_classes,
    check_data,
    check_disk_space,
    check_model,
)
from pipeline.kubeflow.escaping import escape_placeholders
from pipeline.kubeflow.run_inputs import recipe_of_run
from pipeline.metadata_store import open_store, reporting_errors
from pipeline.registry.lease import hold_lease
from pipeline.registry.leftovers import remove_leftovers
from pipeline.registry.provenance import Provenance
from pipeline.registry.run_log import log_run
from pipeline.retraining import decision
from pipeline.retraining.cron import utc_now
from pipeline.retraining.journal import Journal, Tick
from pipeline.retraining.tick import retrying

_log = logging.getLogger(__name__)


def decide(inputs: dict[str, Any]) -> dict[str, str]:
    """Decides whether to train, records the tick, and returns the outputs of the task.

    The other tasks take the recipe with the overrides of this run, the classes and the number of
    images from here: they need no checks, and the data may change meanwhile. As Kubeflow does not
    repeat this task, it repeats itself what may succeed later.

    Raises:
        PipelineError: a parameter, the recipe or the data cannot be used.
        AlreadyRunning: another run holds the lease, and this one is not scheduled.
    """
    # As the other tasks get it: redacted, so the secrets of this task come from where theirs do.
    recipe, run = Recipe.model_validate_json(recipe_of_run(inputs).as_json()), inputs['run_id']
    recipe.home.mkdir(parents=True, exist_ok=True)
    journal, now = Journal(recipe.home), utc_now()
    tick = Tick(tick=run, run=run, started=now, attempts=1)
    journal.write(tick)
    try:
        tick, outputs = retrying(recipe.retrain)(_decide, recipe, inputs, tick)
    except Exception as error:
        kind = '' if isinstance(error, PipelineError) else f'{type(error).__name__}: '
        code = getattr(error, 'exit_code', FAILED)
        journal.write(tick.with_result('failed', f'{kind}{error}', code))
        raise
    journal.write(tick)
    if tick.train and not tick.verdict:
        config = recipe.model_dump(mode='json')
        log_run(recipe.home, run, engine='kubeflow', started=now, config=config)
    _log.info(tick.reason or tick.decision)
    return outputs


def _check_nodes(recipe: Recipe, compiled: str) -> None:
    """Raises ConfigError if overrides of this run add or remove nodes of the compiled pipeline."""
    required = ','.join(recipe.optional_nodes)
    if required != compiled:
        raise ConfigError(
            'a parameter of this run changes the components of the pipeline: it needs the optional '
            f'components {required or "none"}, but was compiled with {compiled or "none"}; compile '
            'it again (see data.source, trainer.warm_start, tuner, lite, onnx and inference)'
        )


def _decide(recipe: Recipe, inputs: dict[str, Any], tick: Tick) -> tuple[Tick, dict[str, str]]:
    _check_nodes(recipe, inputs['optional_nodes'])
    store, scheduled = open_store(recipe.metadata, recipe.home), inputs['only_when_new']
    with reporting_errors():
        try:
            hold_lease(store, recipe.name, tick.tick)
        except AlreadyRunning as error:
            if not scheduled:
                raise
            return tick.with_result('skipped', f'{error}; this run is skipped', 0), _outputs(recipe)
        remove_leftovers(recipe, store)
        provenance = Provenance(store, recipe.name)
        live = provenance.live_classes()
        if scheduled:
            recipe = recipe.with_classes(live)
        found = decision.decide(recipe, provenance, tick.started)
        if not scheduled:
            found = dataclasses.replace(found, train=True, reason='this run was requested')
        values = dataclasses.asdict(found)
        tick = tick.model_copy(update={**values, 'decision': found.reason, 'reason': ''})
        if scheduled and not found.spans:  # the newest one waits for more images
            return tick.with_result('nothing new', found.reason, 0), _outputs(recipe)
        spans = check_data(recipe)
        check_classes(recipe, spans[0].source.classes, live)
    classes, images = spans[0].source.classes, sum(span.source.count for span in spans)
    if found.train:
        check_disk_space(recipe, check_model(recipe, classes), images)
        return tick, _outputs(recipe, classes, images, train=True)
    return tick.with_result('nothing new', found.reason, 0), _outputs(recipe, classes, images)


def _outputs(
    recipe: Recipe, classes: tuple[str, ...] = (), images: int = 0, *, train: bool = False
) -> dict[str, str]:
    """The outputs of the task; Kubeflow requires all of them, also if no other task runs."""
    return {
        'train': json.dumps(train),
        'merged_recipe': escape_placeholders(recipe.as_json()),
        'classes': escape_placeholders(json.dumps(classes)),
        'images': str(images),
    }
