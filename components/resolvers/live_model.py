"""Resolver strategies for the models that a candidate is compared with."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto.metadata_store_pb2 import Event, Execution, ExecutionType
from tfx.components.util import model_utils
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact, standard_artifacts

from common.artifacts import SERVED, content_of, folder_of, upload
from common.blessing import ANCHOR_MODEL_ID, CURRENT_MODEL_ID
from common.manual_override import read_override
from common.mirror import is_remote, uri_of
from common.storage import fetch
from components.pusher.model_compatibility import why_unusable
from components.pusher.reference import find_reference
from components.pusher.serving_folder import ADOPTED, find_model_of

CANDIDATE, MODEL, MODEL_BLESSING = 'candidate', 'model', 'model_blessing'

_log = logging.getLogger(__name__)


class LiveModelStrategy(ResolverStrategy):
    """Resolves the model of the highest version in the serving folder, except the candidate.

    TFX's LatestBlessedModelStrategy resolves the candidate itself if nothing changed since its
    blessing: it would be evaluated against itself and pushed again. With this strategy, a repeated
    run resolves the same model as the first and is cached completely. A model that was blessed but
    not pushed is not resolved, so after an interrupted run the next one is cached up to the Pusher.

    The serving folder says what is live, not ML Metadata: see `components.pusher.reference`. A
    version whose model is not in the metadata, such as one that was copied there or one of a newer
    backup, is added to them.
    """

    def __init__(self, serving: str, pipeline: str, artifacts: str) -> None:
        self._serving, self._pipeline = folder_of(serving), pipeline
        self._artifacts = folder_of(artifacts)  # root of the artifacts

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """Resolves the channels `model` and `model_blessing` to one artifact each, or to none.

        The optional channel `candidate` is unchanged.
        """
        candidate = next(iter(input_dict.get(CANDIDATE, ())), None)
        saved_model = content_of(candidate.uri) / SERVED if candidate else None
        version, skipped = find_reference(self._serving, saved_model)
        for clause in skipped:
            _log.warning(clause)
        if version is None:
            return {**input_dict, MODEL: [], MODEL_BLESSING: []}
        models = {each.uri: each for each in sorted(input_dict[MODEL], key=lambda each: each.id)}
        uri = find_model_of(version, [*models])
        model = models[uri] if uri else self._adopt(store, version)
        blessings = _blessings_of(model, input_dict[MODEL_BLESSING])
        return {**input_dict, MODEL: [model], MODEL_BLESSING: blessings[-1:]}

    def _adopt(self, store: mlmd.MetadataStore, version: Path) -> Artifact:
        """Adds the model of a version to the artifacts of the pipeline."""
        context = store.get_context_by_type_and_name('pipeline', self._pipeline)
        type_id = store.put_execution_type(ExecutionType(name=f'catdog.{ADOPTED}'))
        execution = Execution(type_id=type_id, last_known_state=Execution.RUNNING)
        execution.id, _, _ = store.put_execution(execution, [], [context])
        folder = self._artifacts / ADOPTED / MODEL / str(execution.id)
        fetch(version)
        shutil.copytree(version, folder / SERVED)
        model = standard_artifacts.Model()
        model.type_id = store.put_artifact_type(model.artifact_type)
        model.uri = uri_of(folder)
        if is_remote(folder):
            upload(model.uri)
        artifact = model.mlmd_artifact
        artifact.state = artifact.LIVE
        step = Event.Path(steps=[Event.Path.Step(key=MODEL), Event.Path.Step(index=0)])
        execution.last_known_state = Execution.COMPLETE
        event = Event(type=Event.OUTPUT, path=step)
        _, (artifact.id,), _ = store.put_execution(execution, [(artifact, event)], [context])
        _log.info('the model of version %s was not in the metadata; added to them', version.name)
        return model


class AnchorModelStrategy(ResolverStrategy):
    """Resolves the best model so far, if it is not the baseline.

    ModelGate stores with each blessing which model was the best from then on. A candidate that is
    compared with its predecessor only may be a little worse each time; one that is also compared
    with the best model may not.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]] | None:
        """Resolves `model`, all models of the pipeline, to one artifact or none.

        `model_blessing` is that of the baseline, if any, and unchanged. A model whose blessing was
        withdrawn is not used, nor one with missing or damaged files, which is logged.
        """
        blessings = input_dict[MODEL_BLESSING]
        wanted = {blessing.get_int_custom_property(ANCHOR_MODEL_ID) for blessing in blessings}
        wanted -= {blessing.get_int_custom_property(CURRENT_MODEL_ID) for blessing in blessings}
        models = [model for model in input_dict[MODEL] if model.id in wanted]
        return {**input_dict, MODEL: [model for model in models if _may_be_anchor(model)]}


def _may_be_anchor(model: Artifact) -> bool:
    if reason := why_unusable(content_of(model.uri) / SERVED):
        _log.warning('not compared with the best model so far: %s', reason)
        return False
    override = read_override(folder_of(model.uri))
    return override is None or override.blessed


def _blessings_of(model: Artifact, blessings: Sequence[Artifact]) -> list[Artifact]:
    """The gate decisions on a model; the last one blesses it, if there is such a decision."""
    own = [each for each in blessings if each.get_int_custom_property(CURRENT_MODEL_ID) == model.id]
    return sorted(own, key=lambda each: (model_utils.is_model_blessed(each), each.id))
