"""Trainings, gate decisions and pushes of a recipe in ML Metadata. Imports no TFX."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact, Context
from pydantic import ValidationError

from common.artifacts import folder_of
from common.errors import VolumeNotMounted
from common.features import FINGERPRINT, SPAN, TEST_IMAGES
from common.metadata_queries import Node, component_class, custom_property, read_nodes
from components.image_example_gen.sources.base.data_config import DataConfig
from components.pusher.serving_folder import ADOPTED, find_model_of
from pipeline import metadata_store
from pipeline.config.recipe import Recipe

TRAINER, GATE, PUSHER = 'Trainer', 'ModelGate', 'Pusher'
_KINDS = ('ImageExampleGen', TRAINER, GATE, PUSHER, ADOPTED)


class Provenance:
    """Executions that made, evaluated or pushed models of one pipeline, from their images on.

    What is live is not here but in the serving folder. There is no store before the first run;
    other pipelines may share it. The attribute `nodes` has all successful executions, oldest first.
    """

    def __init__(self, store: MetadataStore | None, pipeline: str) -> None:
        self._store = store
        self.nodes = tuple(_read(store, pipeline)) if store else ()
        self._producers = {
            artifact.id: node
            for node in reversed(self.nodes)  # later cached executions output the same artifact
            for artifacts in node.outputs.values()
            for artifact in artifacts
        }

    def models(self) -> dict[str, Artifact]:
        """Trained models, and those that were only in the serving folder, by URI, oldest first."""
        models = (node.output('model') for node in self.nodes if node.kind in (TRAINER, ADOPTED))
        return {model.uri: model for model in models if model is not None}

    def model_of(self, version: Path) -> Artifact | None:
        """The model that a version in the serving folder holds; None if it was not trained here."""
        models = self.models()
        uri = find_model_of(version, [*models])
        return models[uri] if uri else None

    def model_of_run(self, run: str) -> Artifact | None:
        """The model that a run evaluated; None if there is none."""
        found = (node for node in self.gate_decisions() if self.run_of(node).name == run)
        return next((node.input('model') for node in found), None)

    def pushed(self) -> set[int]:
        """The ids of the models that runs have pushed."""
        return {
            model.id
            for node in self.nodes
            if custom_property(node.output('pushed_model'), 'pushed') == 1
            for model in node.inputs['model']
        }

    def gate_decisions(self) -> Iterator[Node]:
        """Executions that blessed or rejected a model, oldest first."""
        return (node for node in self.nodes if node.kind == GATE)

    def decision(self, model: Artifact) -> Node | None:
        """The last execution that blessed or rejected a model."""
        decisions = reversed([*self.gate_decisions()])
        return next((node for node in decisions if node.uses({model.id})), None)

    def decisions_on_same_images(self, predictions: Artifact) -> int:
        """The number of models that were judged on the same test split, with this one."""
        digest = custom_property(predictions, TEST_IMAGES)
        models = {
            each.id
            for node in self.gate_decisions()
            if custom_property(node.input('predictions'), TEST_IMAGES) == digest
            for each in node.inputs['model']
        }
        return len(models)

    def producer(self, artifact: Artifact | None) -> Node | None:
        """The execution that produced an artifact; None if it is not one of `nodes`."""
        return self._producers.get(artifact.id) if artifact else None

    def run_of(self, node: Node) -> Context:
        """The context of the pipeline run of an execution, with its name."""
        assert self._store
        contexts = self._store.get_contexts_by_execution(node.execution.id)
        return next(each for each in contexts if each.type == 'pipeline_run')

    def training_spans(self, model: Artifact | None) -> dict[int, str]:
        """Fingerprints of the spans that a model was trained on, by span number."""
        trainer = self.producer(model)
        examples = trainer.inputs.get('examples', ()) if trainer else ()
        spans = {
            int(custom_property(each, SPAN)): str(custom_property(each, FINGERPRINT))
            for each in examples
            if SPAN in each.custom_properties
        }
        return dict(sorted(spans.items()))

    def data_of(self, model: Artifact | None) -> str | None:
        """The source of the images that a model was trained on, as in `folder /home/ann/pets`."""
        trainer = self.producer(model)
        ingestion = self.producer(trainer.input('examples')) if trainer else None
        text = custom_property(ingestion.execution, 'data') if ingestion else None
        with contextlib.suppress(ValidationError):  # of another version
            return DataConfig.model_validate_json(text or '').describe()
        return None


def mounted_store(recipe: Recipe) -> MetadataStore | None:
    """Connects to the metadata of a recipe; None if there are none.

    Raises VolumeNotMounted if only the metadata, and not this machine, have runs of the recipe.
    """
    store = metadata_store.existing_store(recipe.metadata, recipe.home)
    if store is None or recipe.is_remote or recipe.home.is_dir():
        return store
    if store.get_context_by_type_and_name('pipeline', recipe.name):
        raise VolumeNotMounted(
            f'{recipe.home}, which earlier runs have written, is not on this machine; mount its '
            'volume, or run this command in a pod that does (docs/how-to/kubeflow.md, "Operation")'
        )
    return store


def provenance_of(recipe: Recipe) -> Provenance:
    """What the metadata of a recipe have; raises VolumeNotMounted if its files are elsewhere."""
    return Provenance(mounted_store(recipe), recipe.name)


def training_config(trainer: Node | None) -> dict[str, Any]:
    """The `custom_config` that `pipeline.graph` gave to the Trainer; empty if it is not known."""
    text = custom_property(trainer.execution, 'custom_config') if trainer else None
    return json.loads(text) or {} if text else {}


def _read(store: MetadataStore, pipeline: str) -> list[Node]:
    context = store.get_context_by_type_and_name('pipeline', pipeline)
    if context is None:
        return []
    executions = store.get_executions_by_context(context.id)
    try:
        nodes = read_nodes(store, [each for each in executions if component_class(each) in _KINDS])
        for node in nodes:
            _check(node)
    except (LookupError, TypeError, ValueError) as error:
        raise metadata_store.damaged_contents(pipeline, error) from error
    return nodes


def _check(node: Node) -> None:
    """Checks what is read later; raises LookupError, TypeError or ValueError."""
    for artifact in node.artifacts:
        folder_of(artifact.uri)
        int(custom_property(artifact, SPAN) or 0)
    if node.kind == GATE and node.input('model') is None:
        raise LookupError(f'{GATE} without a model')
    if node.kind == TRAINER and not isinstance(training_config(node), dict):
        raise TypeError(f'{TRAINER} without custom_config')
