"""Trainings, gate decisions, pushes and manual overrides in ML Metadata. Imports no TFX."""

import dataclasses
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_metadata import MetadataStore
from ml_metadata.proto.metadata_store_pb2 import Artifact
from pydantic import ValidationError

from common.artifacts import folder_of
from common.blessing import BLESSING, decision_of, read_override
from common.features import FINGERPRINT, SPAN, TEST_IMAGES
from common.metadata_queries import (
    Node,
    component_class,
    custom_property,
    nodes_of,
    read_nodes,
)
from components.image_example_gen.sources.base.data_config import DataConfig
from components.pusher.serving_folder import Note, read_note, versions_in
from pipeline.metadata_store import damaged_contents

TRAINER, GATE, PUSHER = 'Trainer', 'ModelGate', 'Pusher'
# Manual overrides. ADOPT: a push that a later run found in the serving folder and recorded.
ROLLBACK, BLESS, UNBLESS, ADOPT = 'Rollback', 'Bless', 'Unbless', 'Adopt'
_KINDS = (TRAINER, GATE, PUSHER, ROLLBACK, BLESS, UNBLESS, ADOPT)


@dataclasses.dataclass(frozen=True)
class ServedVersion:
    """A version in the serving folder."""

    folder: Path  # its name is the version number
    note: Note | None  # written by the push; None if a user copied the folder there
    pusher: Node | None  # the execution that pushed it; None if it is not in the metadata

    @property
    def model(self) -> str | None:
        """URI of the Trainer's model; the note has it too, if the metadata was replaced."""
        model = self.pusher.input('model') if self.pusher else None
        if model is not None:
            return str(model.uri)
        return self.note.about.model if self.note else None

    def withdrawal(self) -> str | None:
        """Describes the override that withdrew the blessing of the model, or None.

        Raises:
            ModelError: the override is damaged.
        """
        override = read_override(folder_of(self.model)) if self.model else None
        return override.describe() if override and not override.blessed else None


class Provenance:
    """Executions that trained, evaluated, pushed or overrode models of one pipeline.

    There is no store before the first run; other pipelines may share it. The attribute `nodes` has
    all successful executions, oldest first.

    Raises:
        MetadataDamaged: the contents of the metadata were changed.
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

    def of_kind(self, kind: str) -> Iterator[Node]:
        """Executions of one component, oldest first."""
        return (node for node in self.nodes if node.kind == kind)

    def gate_decisions(self) -> Iterator[Node]:
        """Executions that blessed or rejected a model, oldest first."""
        return (node for node in self.nodes if decision_of(node.output(BLESSING)) is not None)

    def decision(self, model: Artifact) -> Node | None:
        """The first execution that blessed or rejected a model."""
        return next((node for node in self.gate_decisions() if node.uses(model)), None)

    def decisions_on_same_images(self, evaluation: Artifact) -> int:
        """The number of models that were judged on the same test split, with this one."""
        digest = custom_property(evaluation, TEST_IMAGES)
        models = {
            each.id
            for node in self.of_kind(GATE)
            if custom_property(node.input('evaluation'), TEST_IMAGES) == digest
            for each in node.inputs['model']
        }
        return len(models) if digest else 1

    def pushed(self) -> tuple[Node, ...]:
        """The first execution that pushed each version, lowest version first.

        Later executions were cached or found the version live.
        """
        firsts: dict[str, Node] = {}
        for node in self.nodes:
            if custom_property(node.output('pushed_model'), 'pushed') == 1:
                firsts.setdefault(destination_of(node), node)
        return tuple(sorted(firsts.values(), key=version_of))

    def pushed_to(self, serving: Path) -> list[ServedVersion]:
        """The versions ever pushed to a serving folder, lowest first, without its files."""
        return [
            ServedVersion(Path(destination_of(node)), None, node)
            for node in self.pushed()
            if Path(destination_of(node)).parent == serving
        ]

    def versions(self, serving: Path) -> list[ServedVersion]:
        """The versions in a serving folder, lowest first; the last one is live."""
        pushers = {destination_of(node): node for node in self.pushed()}
        return [
            ServedVersion(folder, read_note(folder), pushers.get(str(folder)))
            for folder in versions_in(serving)
        ]

    def producer(self, artifact: Artifact | None) -> Node | None:
        """The execution that produced an artifact; None if it is not one of `nodes`."""
        return self._producers.get(artifact.id) if artifact else None

    def run_id(self, node: Node | None) -> str:
        """The pipeline run of an execution; empty if there is none."""
        if self._store is None or node is None:
            return ''
        contexts = self._store.get_contexts_by_execution(node.execution.id)
        return next((each.name for each in contexts if each.type == 'pipeline_run'), '')

    def live_model(self) -> Artifact | None:
        """The last pushed model; None if there is none, or it is not in the metadata."""
        pushes = self.pushed()
        return pushes[-1].input('model') if pushes else None

    def live_classes(self) -> tuple[str, ...] | None:
        """Class names of the live model in label order; None if they are not known."""
        classes = training_config(self.producer(self.live_model())).get('classes')
        return tuple(classes) if classes else None

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
        examples = {each.id for each in trainer.inputs.get('examples', ())} if trainer else set()
        if self._store is None or not examples:
            return None
        for node in nodes_of(self._store, examples):
            if node.kind == 'ImageExampleGen' and node.output('examples') is not None:
                return _describe_data(node)
        return None


def _describe_data(ingestion: Node) -> str | None:
    text = custom_property(ingestion.execution, 'data')
    try:
        return DataConfig.model_validate_json(text or '').describe()
    except ValidationError:  # of another version
        return None


def training_config(trainer: Node | None) -> dict[str, Any]:
    """The `custom_config` that `pipeline.graph` gave to the Trainer; empty if it is not known."""
    text = custom_property(trainer.execution, 'custom_config') if trainer else None
    return json.loads(text) or {} if text else {}


def version_of(pushed: Node) -> int:
    """The version number that an execution pushed."""
    return int(custom_property(pushed.output('pushed_model'), 'pushed_version'))


def destination_of(pushed: Node) -> str:
    """The folder of the version that an execution pushed."""
    return str(custom_property(pushed.output('pushed_model'), 'pushed_destination'))


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
        raise damaged_contents(error) from error
    return nodes


def _check(node: Node) -> None:
    """Checks what is read later; raises LookupError, TypeError or ValueError."""
    for artifact in itertools.chain(*node.inputs.values(), *node.outputs.values()):
        folder_of(artifact.uri)
        int(custom_property(artifact, SPAN) or 0)
    if custom_property(node.output('pushed_model'), 'pushed') == 1:
        version_of(node)
        Path(destination_of(node))
    if node.kind == GATE and node.input('model') is None:
        raise LookupError(f'{GATE} without a model')
    if node.kind == TRAINER and not isinstance(training_config(node), dict):
        raise TypeError(f'{TRAINER} without custom_config')
