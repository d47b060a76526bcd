"""Which model a candidate is compared with."""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from common.artifacts import folder_of
from common.blessing import read_judgement
from components.image_example_gen.sources.base.source_protocol import describe_classes
from components.resolvers.model_compatibility import why_unusable
from trainer.model.architecture import classes_of

CANDIDATE, MODEL, MODEL_BLESSING = 'candidate', 'model', 'model_blessing'
_PUSHED, _VERSION = 'PushedModel', 'pushed_version'
_OUTPUTS = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.INTERNAL_OUTPUT)
_INPUTS = (metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.INTERNAL_INPUT)
_AT_ONCE = 500  # ids in one request: an answer over gRPC has a limit of 4 MB

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
    for blessing in sorted(blessings, key=lambda each: (_is_blessed(each), each.id)):
        newest[blessing.get_int_custom_property('current_model_id')] = blessing
    blessed = {
        model.id: model
        for model in models
        if model.id in newest and _may_be_used(model, newest[model.id])
    }
    versions = _versions(store, blessed)
    for key in sorted(versions, key=lambda each: versions[each], reverse=True):
        yield blessed[key], newest[key]


def _may_be_used(model: Artifact, blessing: Artifact) -> bool:
    """Whether the gate has blessed a model, or a person has, who has the last word."""
    judgement = read_judgement(folder_of(model.uri))
    return judgement.blessed if judgement else _is_blessed(blessing)


def _is_blessed(blessing: Artifact) -> bool:
    return blessing.get_int_custom_property('blessed') == 1


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
    readers = [
        event
        for some in _chunks(models)
        for event in store.get_events_by_artifact_ids(some)
        if event.type in _INPUTS
    ]
    pushed = _pushed(store, {event.execution_id for event in readers})
    found: dict[int, int] = {}
    for event in readers:
        for version in pushed[event.execution_id]:
            found[event.artifact_id] = max(version, found.get(event.artifact_id, 0))
    return found


def _pushed(store: mlmd.MetadataStore, executions: Collection[int]) -> dict[int, list[int]]:
    """The versions that executions pushed."""
    events = [
        event
        for some in _chunks(executions)
        for event in store.get_events_by_execution_ids(some)
        if event.type in _OUTPUTS
    ]
    versions = {
        each.id: int(each.custom_properties[_VERSION].string_value)
        for some in _chunks({event.artifact_id for event in events})
        for each in store.get_artifacts_by_id(some)
        if each.type == _PUSHED and each.custom_properties['pushed'].int_value == 1
    }
    found = defaultdict(list)
    for event in events:
        if event.artifact_id in versions:
            found[event.execution_id].append(versions[event.artifact_id])
    return found


def _chunks(ids: Collection[int]) -> list[list[int]]:
    ordered = sorted(ids)
    return [ordered[start : start + _AT_ONCE] for start in range(0, len(ordered), _AT_ONCE)]
