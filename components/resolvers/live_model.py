"""Resolver strategy for the live model, and for the reference model of a candidate."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto.metadata_store_pb2 import Event, Execution, ExecutionType
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact, standard_artifacts

from common.artifacts import SERVED, content_of, folder_of, upload
from common.errors import ModelError
from common.mirror import is_remote, uri_of
from common.storage import fetch
from components.inference.classifier import Classifier
from components.pusher.reference import find_reference
from components.pusher.serving_folder import ADOPTED, find_model_of

CANDIDATE, MODEL = 'candidate', 'model'

_log = logging.getLogger(__name__)


class LiveModelStrategy(ResolverStrategy):
    """Resolves the live model, or for a candidate the reference model that the live one names.

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
        """Resolves the channel `model` to one artifact or none.

        The optional channel `candidate` is unchanged; with it, the model is the reference model.
        Raises ModelError if the version is damaged.
        """
        candidate = next(iter(input_dict.get(CANDIDATE, ())), None)
        saved_model = content_of(candidate.uri) / SERVED if candidate else None
        version = find_reference(self._serving, saved_model, warn=_log.warning)
        if version is None:
            return {**input_dict, MODEL: []}
        return {**input_dict, MODEL: [self._model_of(store, version, input_dict[MODEL])]}

    def _model_of(
        self, store: mlmd.MetadataStore, version: Path, models: Sequence[Artifact]
    ) -> Artifact:
        """The artifact of the model of a version, which is added to the metadata if it is not."""
        by_uri = {each.uri: each for each in sorted(models, key=lambda each: each.id)}
        uri = find_model_of(version, [*by_uri])
        return by_uri[uri] if uri else self._adopt(store, version)

    def _adopt(self, store: mlmd.MetadataStore, version: Path) -> Artifact:
        """Adds the model of a version to the artifacts of the pipeline.

        A damaged version is not in the metadata either: raises ModelError if it cannot be loaded.
        """
        fetch(version)
        try:
            Classifier(version)
        except ModelError as error:
            raise ModelError(f'{error}; restore version {version.name}, or remove it') from error
        context = store.get_context_by_type_and_name('pipeline', self._pipeline)
        type_id = store.put_execution_type(ExecutionType(name=f'catdog.{ADOPTED}'))
        execution = Execution(type_id=type_id, last_known_state=Execution.RUNNING)
        execution.id, _, _ = store.put_execution(execution, [], [context])
        folder = self._artifacts / ADOPTED / MODEL / str(execution.id)
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
