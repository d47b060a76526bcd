"""Which model a candidate is compared with."""

import ml_metadata as mlmd
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from components.sources.base import describe_classes
from trainer import progress
from trainer.architecture import classes_of

CANDIDATE, MODEL, MODEL_BLESSING = 'candidate', 'model', 'model_blessing'
_PUSHED = 'PushedModel'


class LatestOtherBlessedModelStrategy(ResolverStrategy):
    """The model that was blessed and pushed last and is not the candidate itself.

    TFX's own strategy gives the candidate back when nothing has changed since it was blessed; it
    would then be evaluated against itself and pushed a second time. With this one, an identical
    run resolves the same baseline as the first and is cached to its end. Newest is the latest
    blessing, not the latest model: an older model that is blessed again is the one that is live.

    One that was blessed and never pushed, because the run was cut off there, is none: the next run
    resolves the same as that one did, is cached up to the Pusher, and pushes it.

    One that knows other classes than the candidate, or another order of them, is none either, and
    that is said: their accuracies on the same images could not be compared.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """Input and output have the channels `model`, `model_blessing`, and maybe `candidate`.

        `model` and `model_blessing` come back with one artifact each, or empty.
        """
        candidates = {artifact.id for artifact in input_dict.get(CANDIDATE, ())}
        models = {model.id: model for model in input_dict[MODEL] if model.id not in candidates}
        resolved = {**input_dict, MODEL: [], MODEL_BLESSING: []}
        for blessing in sorted(input_dict[MODEL_BLESSING], key=lambda each: -each.id):
            model = models.get(blessing.get_int_custom_property('current_model_id'))
            blessed = blessing.get_int_custom_property('blessed') == 1
            if model and blessed and _was_pushed(store, model.id):
                if any(_knows_other_classes(model, each) for each in input_dict.get(CANDIDATE, ())):
                    return resolved
                return {**resolved, MODEL: [model], MODEL_BLESSING: [blessing]}
        return resolved


def _knows_other_classes(model: Artifact, candidate: Artifact) -> bool:
    """Whether both say which classes they know, and these differ; tells a person."""
    before, now = classes_of(model.uri), classes_of(candidate.uri)
    if before is None or now is None or before == now:
        return False
    progress.console().print(
        f'  the last blessed model knows {describe_classes(before)} and the new one '
        f'{describe_classes(now)}: they are not compared',
        markup=False,
    )
    return True


def _was_pushed(store: mlmd.MetadataStore, model: int) -> bool:
    """Whether a component that had the model as input gave a version that was pushed."""
    executions = {event.execution_id for event in store.get_events_by_artifact_ids([model])}
    events = store.get_events_by_execution_ids(sorted(executions))
    artifacts = store.get_artifacts_by_id(sorted({event.artifact_id for event in events}))
    return any(
        each.type == _PUSHED and each.custom_properties['pushed'].int_value == 1
        for each in artifacts
    )
