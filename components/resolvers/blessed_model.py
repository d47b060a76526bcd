"""Which model a candidate is compared with."""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

import ml_metadata as mlmd
from tfx.components.util import model_utils
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from common.artifacts import folder_of
from common.blessing import CURRENT_MODEL_ID, is_blessed
from common.metadata_queries import (
    INPUTS,
    OUTPUTS,
    artifacts_by_id,
    custom_property,
    events_of_artifacts,
    events_of_executions,
)
from components.image_example_gen.sources.base.source_protocol import describe_classes
from components.resolvers.model_compatibility import why_unusable
from trainer.model.architecture import classes_of

CANDIDATE, MODEL, MODEL_BLESSING = 'candidate', 'model', 'model_blessing'
_PUSHED, _VERSION = 'PushedModel', 'pushed_version'

_log = logging.getLogger(__name__)


class LatestOtherBlessedModelStrategy(ResolverStrategy):
    """The blessed model that was pushed last and is not the candidate itself.

    TFX's own strategy gives the candidate back when nothing has changed since it was blessed; it
    would then be evaluated against itself and pushed a second time. With this one, an identical
    run resolves the same baseline as the first and is cached to its end. Last is the highest
    version, not the latest model: after a rollback the model that is live again is the measure.

    One that was blessed and never pushed, because the run was cut off there, is none: the next run
    resolves the same as that one did, is cached up to the Pusher, and pushes it. Neither is one
    whose blessing a person took back.

    One that can no longer be used, as its files are gone, is passed over, and that is said.

    One that knows other classes than the candidate, or another order of them, is none either, and
    that is said: their accuracies on the same images could not be compared.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """Input and output have the channels `model`, `model_blessing`, and maybe `candidate`.

        `model` and `model_blessing` come back with one artifact each, or empty.
        """
        candidates = input_dict.get(CANDIDATE, [])
        own = {artifact.id for artifact in candidates}
        models = [model for model in input_dict[MODEL] if model.id not in own]
        for model, blessing in _latest_first(store, models, input_dict[MODEL_BLESSING]):
            if _is_unusable(model):
                continue
            if any(_knows_other_classes(model, each) for each in candidates):
                break
            return {**input_dict, MODEL: [model], MODEL_BLESSING: [blessing]}
        return {**input_dict, MODEL: [], MODEL_BLESSING: []}


def _latest_first(
    store: mlmd.MetadataStore, models: Sequence[Artifact], blessings: Sequence[Artifact]
) -> Iterator[tuple[Artifact, Artifact]]:
    """Models that are blessed and were pushed, with their blessings, the latest version first."""
    newest: dict[int, Artifact] = {}
    by_gate = model_utils.is_model_blessed
    for blessing in sorted(blessings, key=lambda each: (by_gate(each), each.id)):
        newest[blessing.get_int_custom_property(CURRENT_MODEL_ID)] = blessing
    blessed = {
        model.id: model
        for model in models
        if model.id in newest and is_blessed(folder_of(model.uri), by_gate(newest[model.id]))
    }
    versions = _versions(store, blessed)
    for key in sorted(versions, key=lambda each: versions[each], reverse=True):
        yield blessed[key], newest[key]


def _is_unusable(model: Artifact) -> bool:
    """Whether a model cannot be loaded any more; logs why."""
    reason = why_unusable(model.uri)
    if reason is None:
        return False
    _log.warning('an earlier blessed model cannot be used and is passed over: %s', reason)
    return True


def _knows_other_classes(model: Artifact, candidate: Artifact) -> bool:
    """Whether both say which classes they know, and these differ; logs both."""
    before, now = classes_of(model.uri), classes_of(candidate.uri)
    if before is None or now is None or before == now:
        return False
    _log.info(
        'the last blessed model knows %s and the new one %s: they are not compared',
        describe_classes(before),
        describe_classes(now),
    )
    return True


def _versions(store: mlmd.MetadataStore, models: Collection[int]) -> dict[int, int]:
    """The highest version as which each model was pushed, of those that were.

    A push is an execution that had the model as input and gave a version that was pushed.
    """
    readers = events_of_artifacts(store, models, INPUTS)
    pushed = _pushed(store, {event.execution_id for event in readers})
    found: dict[int, int] = {}
    for event in readers:
        for version in pushed[event.execution_id]:
            found[event.artifact_id] = max(version, found.get(event.artifact_id, 0))
    return found


def _pushed(store: mlmd.MetadataStore, executions: Collection[int]) -> dict[int, list[int]]:
    """The versions that executions pushed."""
    events = events_of_executions(store, executions, OUTPUTS)
    versions = {
        key: int(custom_property(artifact, _VERSION))
        for key, artifact in artifacts_by_id(store, {each.artifact_id for each in events}).items()
        if artifact.type == _PUSHED and custom_property(artifact, 'pushed') == 1
    }
    found = defaultdict(list)
    for event in events:
        if event.artifact_id in versions:
            found[event.execution_id].append(versions[event.artifact_id])
    return found
