"""Records runs in ML Metadata as TFX does, without running them."""

import itertools
import json
from collections.abc import Mapping

from ml_metadata import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as mlmd

Execution, Event = mlmd.Execution, mlmd.Event


class Recorder:
    """Records executions of a pipeline.

    Attributes:
        store: ML Metadata, by default in memory.
        models: artifacts of the models, in the order of the runs.
        folder: parent of the models' folders.
    """

    def __init__(self, pipeline: str = 'pets', store: MetadataStore | None = None) -> None:
        config = mlmd.ConnectionConfig()
        config.fake_database.SetInParent()
        self.store = store or MetadataStore(config)
        self.models: list[mlmd.Artifact] = []
        self.folder = '/models'
        self.pipeline = self.context('pipeline', pipeline)
        self._numbers = itertools.count(1)

    def run(
        self,
        spans: Mapping[int, str],
        *,
        blessed: bool = True,
        pushed: bool | None = None,
        evaluated: bool = True,
        state: int = Execution.COMPLETE,
        base: mlmd.Artifact | None = None,
        reference: mlmd.Artifact | None = None,
        model: mlmd.Artifact | None = None,
        config: dict | None = None,
        destination: str = '/serving',
        test_images: str = 'a',
    ) -> mlmd.Artifact:
        """Records a run and returns its model; `pushed` defaults to `blessed`."""
        number = next(self._numbers)
        contexts = [self.pipeline, self.context('pipeline_run', f'run-{number}')]
        if model is None:
            examples = [
                self.artifact('Examples', span=span, input_fingerprint=fingerprint)
                for span, fingerprint in spans.items()
            ]
            model = self.artifact('Model', uri=f'{self.folder}/{number}')
            inputs = {'examples': examples, 'base_model': [base] if base else []}
            custom_config = {
                'code': f'code{number}',
                'classes': ['cats', 'dogs'],
                'weights': 'random',
                'train': {},
                **(config or {}),
            }
            self.execution(
                'tfx.components.trainer.component.Trainer',
                inputs,
                {'model': [model]},
                contexts,
                state,
                custom_config=json.dumps(custom_config),
            )
            self.models.append(model)
        if not evaluated:
            return model
        blessing = self.artifact(
            'ModelBlessing',
            f'{self.folder}/blessing-{number}',
            blessed=int(blessed),
            current_model_id=model.id,
        )
        self.execution(
            'components.evaluation.gate.component.ModelGate',
            {
                'model': [model],
                'reference_model': [reference] if reference else [],
                'evaluation': [self.artifact('ModelEvaluation')],
                'predictions': [self.artifact('catdog.Predictions', test_images=test_images)],
            },
            {'blessing': [blessing]},
            contexts,
            state,
        )
        if pushed is False and blessed:  # cut off before the push
            return model
        values: dict = {'pushed': int(blessed)}
        if blessed:
            version = str(1000 + number)
            values |= {'pushed_version': version, 'pushed_destination': f'{destination}/{version}'}
        self.execution(
            'tfx.components.pusher.component.Pusher',
            {'model': [model], 'model_blessing': [blessing]},
            {'pushed_model': [self.artifact('PushedModel', **values)]},
            contexts,
            state,
        )
        return model

    def context(self, kind: str, name: str) -> mlmd.Context:
        """Adds a context."""
        type_id = self.store.put_context_type(mlmd.ContextType(name=kind))
        (key,) = self.store.put_contexts([mlmd.Context(type_id=type_id, name=name)])
        (context,) = self.store.get_contexts_by_id([key])
        return context

    def artifact(self, kind: str, uri: str = '', **values: int | str) -> mlmd.Artifact:
        """Adds an artifact with custom properties."""
        type_id = self.store.put_artifact_type(mlmd.ArtifactType(name=kind))
        artifact = mlmd.Artifact(type_id=type_id, uri=uri)
        for key, value in values.items():
            _set(artifact.custom_properties[key], value)
        (key,) = self.store.put_artifacts([artifact])
        (stored,) = self.store.get_artifacts_by_id([key])
        return stored

    def execution(
        self,
        kind: str,
        inputs: Mapping[str, list[mlmd.Artifact]],
        outputs: Mapping[str, list[mlmd.Artifact]],
        contexts: list[mlmd.Context],
        state: int = Execution.COMPLETE,
        **values: int | str,
    ) -> None:
        """Records an execution with its artifacts and custom properties."""
        type_id = self.store.put_execution_type(mlmd.ExecutionType(name=kind))
        execution = Execution(type_id=type_id, last_known_state=state)
        for key, value in values.items():
            _set(execution.custom_properties[key], value)
        pairs = [
            (artifact, _event(event, key, index))
            for event, channels in ((Event.INPUT, inputs), (Event.OUTPUT, outputs))
            for key, artifacts in channels.items()
            for index, artifact in enumerate(artifacts)
        ]
        self.store.put_execution(execution, pairs, contexts)


def _event(kind: int, key: str, index: int) -> mlmd.Event:
    event = Event(type=kind)
    event.path.steps.add().key = key
    event.path.steps.add().index = index
    return event


def _set(value: mlmd.Value, given: int | str) -> None:
    setattr(value, 'int_value' if isinstance(given, int) else 'string_value', given)
